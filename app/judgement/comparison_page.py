"""The page for people on two series: the numbers of the comparison's answer in words, each nodule now and before."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from app import __version__
from app.comparison.compare import Nodule
from app.comparison.growth import Verdict
from app.comparison.words import VERDICT_WORDS, Part
from app.explain.canvas import to_png
from app.explain.figures import percent, series_hash
from app.explain.pair import Side, draw_pair
from app.imaging.ct import PointPx
from app.inference.finding_words import place_words, slice_words
from app.inference.prediction import Finding
from app.inference.reason_words import reason_words
from app.inference.vocabulary import Language
from app.judgement.answer_types import Answer, ModelRef
from app.judgement.comparing import ComparedPair, JudgedScan
from app.judgement.comparison_answers import ComparedNoduleOut, ComparisonAnswer
from app.judgement.comparison_texts import NoduleTexts, percent_more
from app.judgement.guideline_section import guidelines_section
from app.reports.comparison_words import COMPARISON_WORDS, ComparisonWord
from app.reports.page import Card, CasePage, Pairs, Picture, Section, Table
from app.reports.page_words import PAGE_WORDS, PageWord

MAX_CARDS: Final = 5  # nodules with pictures; all stand in the table
# Which nodules a reader looks at first; those of one weight stay in their order.
WEIGHT: Final[dict[Verdict, int]] = {
    "grew": 0,
    "new": 0,
    "within_measurement_error": 1,
    "not_compared": 1,
    "stable": 2,
    "shrank": 2,
    "gone": 2,
}
VOLUMES: Final[tuple[ComparisonWord, ...]] = ("volume_now", "volume_before", "volume_change", "doubling")
DIGEST_DIGITS: Final = 19  # "sha256:" and twelve more tell models apart


def comparison_page(pair: ComparedPair, said: ComparisonAnswer, language: Language, written: datetime) -> CasePage:
    """The page on a comparison and its answer in JSON, which is in the same language."""
    return _Page(pair, said, language, written).whole()


class _Page:
    """A comparison, its answer, and the words of one language."""

    def __init__(self, pair: ComparedPair, said: ComparisonAnswer, language: Language, written: datetime) -> None:
        self._pair, self._said, self._language, self._written = pair, said, language, written
        self._scans: dict[Part, JudgedScan] = {"current": pair.current, "prior": pair.prior}

    def whole(self) -> CasePage:
        """Everything from top to bottom."""
        said = self._said
        guidelines = guidelines_section(said["guidelines"], self._language) if "guidelines" in said else None
        return CasePage(
            language=self._language,
            title=self._word("title"),
            case=self._case(),
            leading="",
            leading_caption="",
            decision=self._headline(),
            sentences=(self._decision("of_current", said["current"]), self._decision("of_prior", said["prior"])),
            first=tuple(filter(None, (self._nodules(), self._caveats()))),
            cards=tuple(self._cards()),
            last=tuple(filter(None, (guidelines, self._registration(), self._technical()))),
            disclaimer=PAGE_WORDS["disclaimer"][self._language],
            page=PAGE_WORDS["page"][self._language],
        )

    def _word(self, word: ComparisonWord) -> str:
        return COMPARISON_WORDS[word][self._language]

    def _own(self, word: PageWord) -> str:
        return PAGE_WORDS[word][self._language]

    def _case(self) -> str:
        told = []
        for word, scan in self._sides():
            series = series_hash(scan.volume.sources[0].series_instance_uid)
            told += [] if series is None else [f"{self._word(word)}: {series}."]
        return " ".join([*told, self._own("no_patient")])

    def _sides(self) -> tuple[tuple[ComparisonWord, JudgedScan], tuple[ComparisonWord, JudgedScan]]:
        return ("now", self._pair.current), ("before", self._pair.prior)

    def _headline(self) -> str:
        days, counted = self._said["interval"]["days"], self._said["display"]
        words = self._word("compared_undated" if days is None else "compared")
        return words.format(days=days, counted=counted)

    def _decision(self, word: ComparisonWord, answer: Answer) -> str:
        probability = answer["probability"]
        told = answer["display"] if probability is None else f"{answer['display']}, {percent(probability)}"
        return self._word(word).format(decision=told)

    def _texts(self, nodule: ComparedNoduleOut) -> NoduleTexts:
        return NoduleTexts(nodule, self._said, self._language)

    def _nodules(self) -> Section | None:
        if not self._said["nodules"]:
            return None
        numbered = enumerate(zip(self._said["nodules"], self._pair.comparison.nodules, strict=True), start=1)
        rows = tuple((str(n), *self._row(said, nodule)) for n, (said, nodule) in numbered)
        faint = frozenset(n for n, nodule in enumerate(self._pair.comparison.nodules) if not _counts(nodule))
        own = (self._own("place"), self._own("probability"))
        volumes = (self._word(name) for name in VOLUMES)
        heads = (self._word("nodule"), self._word("change"), *own, *volumes)
        table = Table(heads, rows, faint).without_empty_columns()
        return Section(self._word("nodules"), table=table, sentences=(self._word("order"),))

    def _row(self, said: ComparedNoduleOut, nodule: Nodule) -> tuple[str, ...]:
        texts, finding = self._texts(said), nodule.current or nodule.prior
        place = "" if finding is None else place_words(finding, self._language)
        now, before = texts.volume("current"), texts.volume("prior")
        return (said["display"], place, texts.probability("current"), now, before, texts.change(), texts.doubling())

    def _caveats(self) -> Section | None:
        """Of the comparison, then what either series has beside."""
        notes = [*self._said["quality"], *self._said["current"]["quality"], *self._said["prior"]["quality"]]
        told = dict.fromkeys((note["code"], note["message"]) for note in notes if note["severity"] != "info")
        pairs = tuple((reason_words(code, self._language), message) for code, message in told)
        return Section(self._own("caveats"), pairs) if pairs else None

    def _cards(self) -> Iterator[Card]:
        numbered = enumerate(zip(self._said["nodules"], self._pair.comparison.nodules, strict=True), start=1)
        shown = [(n, said, nodule) for n, (said, nodule) in numbered if _counts(nodule)]
        shown.sort(key=lambda each: WEIGHT[each[2].verdict])
        return (self._card(*each) for each in shown[:MAX_CARDS])

    def _card(self, number: int, said: ComparedNoduleOut, nodule: Nodule) -> Card:
        texts, finding = self._texts(said), nodule.current or nodule.prior
        colon = ": " if self._language == "en" else "："
        words = f"{self._word('nodule')} {number}"
        place = "" if finding is None else f"{colon}{place_words(finding, self._language)}"
        picture = draw_pair(self._side("current", nodule), self._side("prior", nodule))
        verdict, share = VERDICT_WORDS[said["verdict"]][self._language], said["volume_change"]
        return Card(
            heading=f"{words}{place}",
            probability=verdict if share is None else percent_more(share["value"]),
            caption="" if share is None else f"{self._word('volume_change')}{colon}{verdict}",
            pairs=texts.pairs(),
            anatomy=Picture(to_png(picture), f"{words}{colon}{said['display']}"),
            tiles=None,
            table=texts.table(),
        )

    def _side(self, part: Part, nodule: Nodule) -> Side:
        scan = self._scans[part]
        finding = nodule.current if part == "current" else nodule.prior
        days, title = self._said["interval"]["days"], self._word("now" if part == "current" else "before")
        if part == "prior" and days:
            title = self._word("days_before").format(days=days)
        where = _place(nodule, finding)
        if where is None:
            return Side((title, self._word("not_shown")))
        index, centre_px = where
        words = (title, slice_words(index, len(scan.volume), self._language))
        told = words if finding is not None else (*words, self._word("not_found"))
        return Side(told, scan.volume.slice_at(index), centre_px, finding)

    def _registration(self) -> Section:
        said = self._said
        lying, days, unpaired = said["registration"], said["interval"]["days"], said["low_suspicion_unpaired"]
        told: list[tuple[ComparisonWord, str]] = []
        if days is not None:
            told.append(("days", f"{days} ({said['interval']['source']})"))
        if lying is not None:
            told.append(("overlap", f"{lying['overlap']:.2f}"))
            told.append(("rotation", f"{lying['rotation_deg']:.1f}°"))
            told.append(("shift", f"{lying['shift_mm']:.1f}"))
        told.append(("unpaired", self._word("unpaired_value").format(**unpaired)))
        return Section(self._word("registration"), tuple((self._word(name), value) for name, value in told))

    def _technical(self) -> Section:
        answer = self._said["current"]
        asked: list[ModelRef | None] = [answer["model"], answer.get("detector"), answer.get("second_look")]
        models = (f"{m['name']} {m['version']} ({m['digest'][:DIGEST_DIGITS]})" for m in asked if m is not None)
        pairs = [(self._own("models"), ", ".join(models)), (self._own("software"), f"Lungscope {__version__}")]
        for word, scan in self._sides():
            pairs += self._image(self._word(word), scan)
        if not self._pair.current.judgement.deidentified:
            pairs.append((self._own("written"), self._written.isoformat(sep=" ", timespec="minutes")))
        return Section(self._own("technical"), tuple(pairs))

    def _image(self, title: str, scan: JudgedScan) -> Pairs:
        source, (slice_mm, row_mm, column_mm) = scan.volume.sources[0], scan.volume.spacing_mm
        size = f"{source.columns} × {source.rows} px, {column_mm:.3g} × {row_mm:.3g} mm"
        image = (f"{title}: {self._own('image')}", f"{size}, {len(scan.volume)} × {slice_mm:.3g} mm")
        uid = source.series_instance_uid
        return (image,) if uid is None else (image, (f"{title}: {self._own('series_uid')}", uid))


def _counts(nodule: Nodule) -> bool:
    """Whether one of its findings counts in a decision; what only looking has found counts as its partner does."""
    found = (finding for finding in (nodule.current, nodule.prior) if finding is not None)
    return any(finding.suspicion in ("suspected", "open") for finding in found)


def _place(nodule: Nodule, finding: Finding | None) -> tuple[int, PointPx] | None:
    """Slice and point at which a scan shows a nodule, or would."""
    if finding is not None and finding.slice is not None:
        return finding.slice.index, finding.center_px
    return None if nodule.expected is None else (nodule.expected.index, nodule.expected.point_px)
