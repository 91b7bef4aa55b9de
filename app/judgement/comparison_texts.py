"""What is said of one nodule in two series, as texts for people; the numbers are those of the answer in JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from app.comparison.words import VERDICT_WORDS, Part
from app.explain.figures import percent
from app.inference.finding_words import COMMA, slice_words
from app.inference.vocabulary import Language
from app.judgement.answer_types import Answer, FindingOut
from app.judgement.comparison_answers import ComparedNoduleOut, ComparisonAnswer, OpenIntervalOut
from app.judgement.finding_pairs import axes_text, measured_text
from app.judgement.size_answers import SizeOut
from app.reports.comparison_words import COMPARISON_WORDS, NO_DOUBLING_WORDS, PACE_WORDS, ComparisonWord
from app.reports.figures import significant
from app.reports.page import Pairs, Table
from app.reports.page_words import PAGE_WORDS, PageWord

PARTS: tuple[Part, Part] = ("current", "prior")


def percent_more(share: float) -> str:
    """What was gained or lost, in whole percent with its sign."""
    return f"{_signed(share)} %"


def _signed(share: float) -> str:
    percent = round(significant(100 * share))
    return f"{'−' if percent < 0 else '+' if percent else ''}{abs(percent)}"


def days_text(days: float) -> str:
    """Whole days, of no more than three significant digits."""
    return f"{round(significant(days))}"


class NoduleTexts:
    """One nodule of a comparison's answer, in the words of one language; empty where there is nothing to say."""

    def __init__(self, nodule: ComparedNoduleOut, said: ComparisonAnswer, language: Language) -> None:
        self._nodule, self._said, self._language = nodule, said, language

    def probability(self, part: Part) -> str:
        """Of malignancy."""
        found = self._found(part)
        if found is None:
            return ""
        judged = found["probability"]
        return PAGE_WORDS["not_judged"][self._language] if judged is None else percent(judged)

    def volume(self, part: Part) -> str:
        """In mm³, with its interval."""
        size = self._size(part)
        return "" if size is None or "volume_mm3" not in size else measured_text(size["volume_mm3"], 0)

    def change(self) -> str:
        """Of the volume, in percent."""
        share = self._nodule["volume_change"]
        return "" if share is None else self._open(share, percent_more, _signed)

    def doubling(self) -> str:
        """In days; the least alone where it has no upper end: of a change that may be none the value says nothing."""
        days = self._nodule["doubling_days"]
        if days is None:
            return ""
        least, most = days["interval"]
        if most is None and least is not None:
            return COMPARISON_WORDS["or_more"][self._language].format(low=days_text(least))
        return self._open(days, days_text, days_text)

    def pairs(self) -> Pairs:
        """All about the change."""
        return tuple((COMPARISON_WORDS[name][self._language], text) for name, text in self._change() if text)

    def table(self) -> Table:
        """What was measured now and before."""
        heads = tuple(COMPARISON_WORDS[name][self._language] for name in ("measure", "now", "before"))
        rows = ((PAGE_WORDS[name][self._language], *map(told, PARTS)) for name, told in self._measures())
        return Table(heads, tuple(row for row in rows if any(row[1:])))

    def _change(self) -> Iterator[tuple[ComparisonWord, str]]:
        nodule, language = self._nodule, self._language
        yield "change", nodule["display"]
        yield "looked", "" if nodule["looked"] is None else COMPARISON_WORDS["looked_value"][language]
        others = [each for each in nodule["possible"] if each != nodule["verdict"]]
        yield "also", COMMA[language].join(VERDICT_WORDS[each][language] for each in others)
        yield "volume_change", self.change()
        yield "doubling", self.doubling()
        days, why = nodule["doubling_days"], nodule["no_doubling"]
        paces = () if days is None else sorted(days["paces"], key=list(PACE_WORDS).index)
        yield "pace", COMMA[language].join(PACE_WORDS[pace][language] for pace in paces)
        yield "no_doubling", "" if why is None else NO_DOUBLING_WORDS[why][language]
        yield "apart", "" if nodule["apart_mm"] is None else f"{nodule['apart_mm']:.1f}"
        yield "others", str(nodule["other_partners"] or "")

    def _measures(self) -> Iterator[tuple[PageWord, Callable[[Part], str]]]:
        yield "finding", self._finding
        yield "slice", self._slice
        yield "volume", self.volume
        yield "mean", lambda part: _of(self._size(part), lambda size: measured_text(size["mean_diameter_mm"], 1))
        yield "axes", lambda part: _of(self._size(part), axes_text)
        yield "density", lambda part: _of(self._size(part), lambda size: size["attenuation"]["display"])
        yield "probability", self.probability

    def _finding(self, part: Part) -> str:
        number = self._nodule["current"] if part == "current" else self._nodule["prior"]
        looked = self._nodule["looked"]
        if number is None and looked is not None and looked["series"] == part:
            number = looked["id"]
        return "" if number is None else str(number)

    def _slice(self, part: Part) -> str:
        found, looked, expected = self._found(part), self._nodule["looked"], self._nodule["expected"]
        if found is not None and "slice" in found:
            index = found["slice"]["index"]
        elif looked is not None and looked["series"] == part:
            index = looked["slice"]["index"]
        elif expected is not None:
            index = expected["slice"]["index"]
        else:
            return ""
        series = self._answer(part)["source"]
        return slice_words(index, series["series"]["slices"], self._language) if "series" in series else str(index + 1)

    def _answer(self, part: Part) -> Answer:
        return self._said["current"] if part == "current" else self._said["prior"]

    def _found(self, part: Part) -> FindingOut | None:
        number = self._nodule["current"] if part == "current" else self._nodule["prior"]
        return next((each for each in self._answer(part)["findings"] if each["id"] == number), None)

    def _size(self, part: Part) -> SizeOut | None:
        found, looked = self._found(part), self._nodule["looked"]
        if found is not None:
            return found["size"]
        return looked["size"] if looked is not None and looked["series"] == part else None

    def _open(
        self, measured: OpenIntervalOut, written: Callable[[float], str], written_end: Callable[[float], str]
    ) -> str:
        low, high = (None if end is None else written_end(end) for end in measured["interval"])
        words, value = COMPARISON_WORDS, written(measured["value"])
        if low is None and high is None:
            return value
        if high is None:
            return f"{value} ({words['or_more'][self._language].format(low=low)})"
        if low is None:
            return f"{value} ({words['up_to'][self._language].format(high=high)})"
        return f"{value} ({words['range'][self._language].format(low=low, high=high)})"


def _of(size: SizeOut | None, written: Callable[[SizeOut], str]) -> str:
    return "" if size is None else written(size)
