"""The case report for people: an answer's numbers in words, with pictures of what was judged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from app import __version__
from app.explain.canvas import MIN_WIDTH_PX, to_png
from app.explain.captions import CAPTIONS, SUSPICION_WORDS
from app.explain.figures import percent, series_hash
from app.explain.legend import headline
from app.explain.marks import is_faint
from app.explain.overlay import USUAL_WIDTH_PX, draw_anatomy, findings_on
from app.explain.tiles import Locator, draw_tiles, locator_of
from app.imaging.ct import CTSlice
from app.imaging.volume import CTVolume
from app.inference.finding_words import place_words
from app.inference.prediction import Finding
from app.inference.reason_words import reason_words
from app.inference.vocabulary import Language
from app.judgement.answer_types import Answer, FindingOut, ModelRef, QualityOut
from app.judgement.answers import answer
from app.judgement.finding_pairs import axes_text, measured_text, pairs_of
from app.judgement.guideline_section import guidelines_section
from app.judgement.judge import Judgement
from app.reports.page import Card, CasePage, Pairs, Picture, Section, Table
from app.reports.page_words import PAGE_WORDS, PageWord

COLUMNS: Final[tuple[PageWord, ...]] = (
    *("finding", "probability", "standing", "place", "axes", "mean", "volume", "density"),
)
MAX_CARDS: Final = 5  # findings with pictures; all stand in the table
DIGEST_DIGITS: Final = 19  # "sha256:" and twelve more tell models apart


def case_page(judgement: Judgement, language: Language, written: datetime) -> CasePage:
    """The report of one judgement; its numbers are those of the answer in JSON."""
    return _Page(judgement, language, written).whole()


class _Page:
    """One judgement, its answer, and the words of one language."""

    def __init__(self, judgement: Judgement, language: Language, written: datetime) -> None:
        self._judgement = judgement
        self._answer: Answer = answer(judgement, language, "")
        self._language = language
        self._written = written
        image = judgement.image
        self._locator: Locator | None = locator_of(image) if isinstance(image, CTVolume) else None

    def whole(self) -> CasePage:
        """Everything from top to bottom."""
        said, counted = self._answer, self._counted()
        guidelines = guidelines_section(said["guidelines"], self._language) if "guidelines" in said else None
        leading = counted[0] if counted else None
        told = leading is not None and leading.probability is not None
        return CasePage(
            language=self._language,
            title=self._word("title"),
            case=self._case(),
            leading=percent(leading.probability) if leading is not None and leading.probability is not None else "",
            leading_caption=self._caption(leading) if leading is not None and told else "",
            decision=headline(self._judgement.prediction, self._language),
            sentences=self._sentences(leading),
            first=tuple(filter(None, (self._why(), self._findings(), self._caveats()))),
            cards=self._cards(counted),
            last=tuple(filter(None, (self._lungs(), guidelines, self._technical()))),
            disclaimer=self._word("disclaimer"),
            page=self._word("page"),
        )

    def _word(self, word: PageWord) -> str:
        return PAGE_WORDS[word][self._language]

    def _counted(self) -> list[Finding]:
        """The findings that count in the decision, the most suspicious first."""
        return [finding for finding in self._judgement.prediction.findings if not is_faint(finding)]

    def _written_of(self, finding: Finding) -> FindingOut:
        return next(each for each in self._answer["findings"] if each["id"] == finding.id)

    def _case(self) -> str:
        told = series_hash(self._judgement.sources[0].series_instance_uid)
        series = [] if told is None else [f"{CAPTIONS['series'][self._language]} {told}."]
        return " ".join([*series, self._word("no_patient")])

    def _sentences(self, leading: Finding | None) -> tuple[str, ...]:
        findings = self._answer["findings"]
        if self._answer["decision"] == "rejected":
            return ()
        scored = self._judgement.prediction.point is not None
        words = self._word("count" if scored else "counted")
        sentences = [words.format(all=len(findings), counted=len(self._counted()))]
        if leading is not None and len(findings) > 1:
            place = self._written_of(leading)["location"]["display"]
            sentences.append(self._word("leading").format(id=leading.id, place=place))
        return tuple(sentences)

    def _caption(self, finding: Finding) -> str:
        return f"{self._word('finding')} {finding.id}: {self._word('of_malignancy')}"

    def _why(self) -> Section | None:
        reasons = self._answer["reasons"]
        if not reasons:
            return None
        messages = {note["code"]: note["message"] for note in self._answer["quality"]}
        pairs = tuple((reason_words(code, self._language), messages.get(code, code)) for code in reasons)
        return Section(self._word("why"), pairs)

    def _caveats(self) -> Section | None:
        notes = [note for note in self._answer["quality"] if note["severity"] != "info"]
        notes = [note for note in notes if note["code"] not in self._answer["reasons"]]
        if not notes or self._answer["decision"] == "rejected":
            return None
        return Section(self._word("caveats"), tuple(map(self._note, notes)))

    def _note(self, note: QualityOut) -> tuple[str, str]:
        return reason_words(note["code"], self._language), note["message"]

    def _findings(self) -> Section | None:
        findings = self._answer["findings"]
        if not findings:
            return None
        faint = frozenset(n for n, found in enumerate(findings) if found.get("suspicion") == "low")
        rows = tuple(map(self._row, findings))
        table = Table(tuple(map(self._word, COLUMNS)), rows, faint).without_empty_columns()
        return Section(self._word("findings"), table=table, sentences=(self._word("evidence"),))

    def _row(self, found: FindingOut) -> tuple[str, ...]:
        size, suspicion = found["size"], found.get("suspicion")
        return (
            str(found["id"]),
            self._word("not_judged") if found["probability"] is None else percent(found["probability"]),
            "" if suspicion is None else SUSPICION_WORDS[suspicion][self._language],
            found["location"]["display"],
            "" if size is None else axes_text(size),
            "" if size is None else measured_text(size["mean_diameter_mm"], 1),
            "" if size is None or "volume_mm3" not in size else measured_text(size["volume_mm3"], 0),
            "" if size is None else size["attenuation"]["display"],
        )

    def _cards(self, counted: Sequence[Finding]) -> tuple[Card, ...]:
        image = self._judgement.image
        if isinstance(image, CTSlice) and not counted:
            return (self._bare_card(image),)
        return tuple(map(self._card, counted[:MAX_CARDS]))

    def _card(self, finding: Finding) -> Card:
        judgement, prediction = self._judgement, self._judgement.prediction
        image = judgement.image
        of_series = isinstance(image, CTVolume) and finding.slice is not None
        ref = finding.slice if of_series else None
        ct_slice = image if isinstance(image, CTSlice) else image.slice_at(ref.index if ref is not None else 0)
        anatomy = draw_anatomy(
            ct_slice,
            prediction,
            findings_on(prediction, ref),
            language=self._language,
            slice_ref=ref,
            min_width_px=MIN_WIDTH_PX,
        )
        tiles = draw_tiles(
            ct_slice,
            finding,
            width_px=USUAL_WIDTH_PX,
            language=self._language,
            slice_ref=ref,
            locator=self._locator,
        )
        found = self._written_of(finding)
        words = f"{self._word('finding')} {finding.id}"
        return Card(
            heading=f"{words}: {place_words(finding, self._language)}",
            probability=self._word("not_judged") if found["probability"] is None else percent(found["probability"]),
            caption="" if found["probability"] is None else self._word("of_malignancy"),
            pairs=pairs_of(found, self._answer, ct_slice, self._language),
            anatomy=Picture(to_png(anatomy), words),
            tiles=Picture(to_png(tiles), words),
        )

    def _bare_card(self, ct_slice: CTSlice) -> Card:
        """The slice on which nothing counts, with what was found and does not."""
        prediction = self._judgement.prediction
        anatomy = draw_anatomy(
            ct_slice, prediction, prediction.findings, language=self._language, min_width_px=MIN_WIDTH_PX
        )
        return Card(self._word("slice"), "", "", (), Picture(to_png(anatomy), self._answer["display"]), None)

    def _lungs(self) -> Section | None:
        lungs = self._answer.get("lungs")
        if lungs is None:
            return None
        share, thickness = lungs["below_950_hu_share"], lungs["slice_thickness_mm"]
        told: list[tuple[PageWord, str | None]] = [
            ("lung_volume", f"{lungs['volume_ml']:.0f}"),
            ("emphysema", None if share is None else f"{share:.1%}"),
            ("kernel", lungs["kernel"]),
            ("thickness", None if thickness is None else f"{thickness:g}"),
        ]
        return Section(self._word("lungs"), tuple((self._word(name), value) for name, value in told if value))

    def _technical(self) -> Section:
        said, source = self._answer, self._judgement.sources[0]
        asked: list[ModelRef | None] = [said["model"], said.get("detector"), said.get("second_look")]
        models = (f"{m['name']} {m['version']} ({m['digest'][:DIGEST_DIGITS]})" for m in asked if m is not None)
        rows_mm, columns_mm = said["source"]["pixel_spacing_mm"]
        image = f"{source.kind}, {source.columns} × {source.rows} px, {columns_mm:.3g} × {rows_mm:.3g} mm"
        if "series" in said["source"]:
            series = said["source"]["series"]
            image += f", {series['slices']} × {series['slice_spacing_mm']:.3g} mm"
        pairs: list[tuple[PageWord, str]] = [
            ("models", ", ".join(models)),
            ("operating_point", f"{said['operating_point']:.3g}"),
            ("software", f"Lungscope {__version__}"),
            ("image", image),
        ]
        if source.series_instance_uid is not None:
            pairs.append(("series_uid", source.series_instance_uid))
        if not self._judgement.deidentified:
            pairs.append(("written", self._written.isoformat(sep=" ", timespec="minutes")))
        named: Pairs = tuple((self._word(name), value) for name, value in pairs)
        return Section(self._word("technical"), named)
