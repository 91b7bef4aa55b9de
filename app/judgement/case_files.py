"""The files of one case: its report as HTML and as PDF, and pictures of the slices to look at."""

from __future__ import annotations

from datetime import datetime

from app.explain.canvas import to_png
from app.explain.marks import is_faint
from app.explain.overlay import draw
from app.explain.tiles import locator_of
from app.imaging.ct import CTSlice
from app.imaging.volume import CTVolume
from app.inference.prediction import SliceRef
from app.inference.vocabulary import Language
from app.judgement.case_page import MAX_CARDS, case_page
from app.judgement.formats import page_as_pdf
from app.judgement.judge import Judgement
from app.reports.page_html import write_html


def case_files(judgement: Judgement, language: Language) -> dict[str, bytes]:
    """Their contents by name: `report.html`, `report.pdf`, and `slice.png` or, of a series, `01-slice-065.png` and so
    on, the slice of the most suspicious finding first."""
    written = datetime.now().astimezone()
    page = case_page(judgement, language, written)
    files = {"report.html": write_html(page), "report.pdf": page_as_pdf(page)}
    model = judgement.report((), written).model_line
    if isinstance(judgement.image, CTSlice):
        return files | {
            "slice.png": to_png(draw(judgement.image, judgement.prediction, model=model, language=language))
        }
    return files | _of_series(judgement, judgement.image, model, language)


def _of_series(judgement: Judgement, volume: CTVolume, model: str, language: Language) -> dict[str, bytes]:
    locator, files = locator_of(volume), {}
    for number, index in enumerate(_shown(judgement, volume), start=1):
        ref = SliceRef(index, volume.sources[index].sop_instance_uid)
        picture = draw(
            volume.slice_at(index),
            judgement.prediction,
            model=model,
            language=language,
            slice_ref=ref,
            locator=locator,
        )
        files[f"{number:02d}-slice-{index + 1:03d}.png"] = to_png(picture)
    return files


def _shown(judgement: Judgement, volume: CTVolume) -> list[int]:
    """The slices of the findings that count, each once; the middle one where none does."""
    counted = [f.slice.index for f in judgement.prediction.findings if f.slice is not None and not is_faint(f)]
    return list(dict.fromkeys(counted))[:MAX_CARDS] or [len(volume) // 2]
