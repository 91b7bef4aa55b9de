"""What was measured of a finding, as names and texts for people; the numbers are those of the answer in JSON."""

from __future__ import annotations

from collections.abc import Iterator

from app.explain.captions import SUSPICION_WORDS
from app.explain.figures import percent
from app.imaging.ct import CTSlice
from app.inference.finding_words import COMMA, slice_words
from app.inference.vocabulary import Language
from app.judgement.answer_types import Answer, FindingOut, TraitOut
from app.judgement.size_answers import MeasuredOut, SizeOut
from app.reports.page import Pairs
from app.reports.page_words import PAGE_WORDS, TRAIT_NAMES, PageWord


def pairs_of(found: FindingOut, said: Answer, ct_slice: CTSlice, language: Language) -> Pairs:
    """Everything about one finding of an answer, on the slice on which it is largest."""
    told = [*_place(found, said, ct_slice, language), *_size(found["size"])]
    told += list(_rating(found, said, language))
    pairs = [(PAGE_WORDS[name][language], text) for name, text in told]
    traits = [_trait(name, trait, language) for name, trait in found["traits"].items()]
    return (*pairs, (PAGE_WORDS["traits"][language], "; ".join(traits))) if traits else tuple(pairs)


def axes_text(size: SizeOut) -> str:
    """Long and short axis in mm."""
    return f"{size['long_axis_mm']:.1f} × {size['short_axis_mm']:.1f}"


def measured_text(measured: MeasuredOut, digits: int) -> str:
    """A measurement with its interval."""
    low, high = measured["interval"]
    return f"{measured['value']:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def _place(found: FindingOut, said: Answer, ct_slice: CTSlice, language: Language) -> Iterator[tuple[PageWord, str]]:
    height = [] if ct_slice.position_mm is None else [f"z {ct_slice.position_mm[2]:.1f} mm"]
    if "slice" in found and "series" in said["source"]:
        height.insert(0, slice_words(found["slice"]["index"], said["source"]["series"]["slices"], language))
    if height:
        yield "slice", COMMA[language].join(height)


def _size(size: SizeOut | None) -> Iterator[tuple[PageWord, str]]:
    if size is None:
        return
    density = size["attenuation"]
    yield "axes", axes_text(size)
    yield "mean", measured_text(size["mean_diameter_mm"], 1)
    yield "area", f"{size['area_mm2']:.0f}"
    if "volume_mm3" in size:
        yield "volume", measured_text(size["volume_mm3"], 0)
    yield "density", f"{density['display']}, {density['median_hu']:.0f} HU"
    if density["solid_part_mm"] is not None:
        yield "solid_part", measured_text(density["solid_part_mm"], 1)


def _rating(found: FindingOut, said: Answer, language: Language) -> Iterator[tuple[PageWord, str]]:
    yield "is_nodule", percent(found["nodule_probability"])
    if "suspicion" in found:
        yield "standing", _standing(SUSPICION_WORDS[found["suspicion"]][language], found, said, language)


def _standing(words: str, found: FindingOut, said: Answer, language: Language) -> str:
    """What it counts for, with the score that says so where there is one."""
    if "suspicion_score" not in found or "scan" not in said:
        return words
    scan = said["scan"]
    text = PAGE_WORDS["standing_score"][language].format(
        standing=words, score=found["suspicion_score"], suspected=scan["suspected_from"], open=scan["open_from"]
    )
    objected = found["suspicion"] == "open" and found["suspicion_score"] >= scan["suspected_from"]
    return f"{text}; {PAGE_WORDS['objected'][language]}" if objected else text


def _trait(name: str, trait: TraitOut, language: Language) -> str:
    named = TRAIT_NAMES.get(name, {}).get(language, name)
    words = PAGE_WORDS["trait_value"][language]
    return words.format(name=named, word=trait["display"], value=trait["value"], most=trait["scale"][1])
