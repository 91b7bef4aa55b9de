"""Judges one series of an archive, and says it in rows: one of the series, one a finding; or in one of a failure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.batch.index import Outcome, Series
from app.errors import FrameRequired, Unavailable
from app.errors.description import described
from app.imaging.archive import is_zip
from app.imaging.formats import HEAD_BYTES
from app.inference.prediction import Finding
from app.judgement.answer_types import Answer, ModelRef
from app.judgement.answers import answer
from app.judgement.finding_rows import OF_CASE, finding_rows
from app.judgement.judge import Judge, Judgement
from app.judgement.parameters import Parameters

WORKER_DIED: Final = "worker_died"
Row = dict[str, object]


def outcome_of(series: Series, judge: Judge) -> tuple[str, Outcome]:
    """The code of a failure, or nothing, and the rows; raises what passes by itself: Unavailable, MemoryError."""
    try:
        judgement = _judged(series.paths, judge)
        said = answer(judgement, "en", "")
    except (Unavailable, MemoryError):
        raise
    # Whatever it is: one series never ends a batch.
    except Exception as error:
        return failure(series, *described(error))
    return "", {"series": _series(series, said, judgement), "findings": _findings(series, said, judgement)}


def failure(series: Series, code: str, text: str) -> tuple[str, Outcome]:
    """Code and row of a series that could not be judged."""
    return code, {"failure": {**_identity(series), "error_code": code, "error": text}}


def death(series: Series, tries: int) -> tuple[str, Outcome]:
    """Code and row of a series at which so many workers ended."""
    return failure(series, WORKER_DIED, f"{tries} workers ended while they judged it, for want of memory or by a crash")


def _judged(paths: Sequence[Path], judge: Judge) -> Judgement:
    """As `lungscope predict` does it; a series of one slice is judged as a slice."""
    if len(paths) == 1:
        with paths[0].open("rb") as stream:
            packed = is_zip(stream.read(HEAD_BYTES))
        if not packed:
            try:
                return judge.slice(paths[0].read_bytes(), Parameters())
            except FrameRequired:
                pass
    # No names: errors call a file by its place in the order.
    return judge.files(paths, Parameters(), lambda _stage, _done, _of: None, lambda: False)


def _identity(series: Series) -> Row:
    return {"number": series.number, "series": series.uid, "source": str(series.place)}


def _series(series: Series, said: Answer, judgement: Judgement) -> Row:
    source = judgement.sources[0]
    scan, of_series = said.get("scan"), said["source"].get("series")
    rows_mm, columns_mm = said["source"]["pixel_spacing_mm"]
    return {
        **_identity(series),
        "series": source.series_instance_uid,
        "study": source.study_instance_uid,
        "decision": said["decision"],
        "probability": said["probability"],
        "operating_point": said["operating_point"],
        "scan_score": None if scan is None else scan["score"],
        "findings": len(said["findings"]),
        "reasons": list(said["reasons"]),
        "quality": list(dict.fromkeys(note["code"] for note in said["quality"])),
        "slices": 1 if of_series is None else of_series["slices"],
        "slice_spacing_mm": None if of_series is None else of_series["slice_spacing_mm"],
        "rows": said["source"]["rows"],
        "columns": said["source"]["columns"],
        "row_spacing_mm": rows_mm,
        "column_spacing_mm": columns_mm,
        "classifier": _model(said["model"]),
        "detector": _model(said.get("detector")),
        "second_look": _model(said.get("second_look")),
    }


def _model(model: ModelRef | None) -> str | None:
    return None if model is None else f"{model['name']}/{model['version']} {model['digest']}"


def _findings(series: Series, said: Answer, judgement: Judgement) -> list[Row]:
    if not said["findings"]:
        return []
    source = judgement.sources[0]
    own: Row = {"number": series.number, "series": source.series_instance_uid, "study": source.study_instance_uid}
    rows = [{name: value for name, value in row.items() if name not in OF_CASE} for row in finding_rows(said)]
    found = zip(rows, judgement.prediction.findings, strict=True)
    return [own | {"instance": _instance(finding, judgement)} | row for row, finding in found]


def _instance(finding: Finding, judgement: Judgement) -> str | None:
    if finding.slice is None:
        return judgement.sources[0].sop_instance_uid
    return finding.slice.sop_instance_uid
