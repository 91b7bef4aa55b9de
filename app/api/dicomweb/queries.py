"""QIDO-RS (PS3.18 10.6): finds the result objects that match a query, and selects the attributes to return."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from pydicom.datadict import dictionary_VR, tag_for_keyword

from app.errors import InvalidParameter

Level = Literal["studies", "series", "instances"]
Attributes = dict[str, Any]  # one data set as DICOM JSON (PS3.18 F)

MAX_LIMIT: Final = 1000
COUNT_DIGITS: Final = 18
MOST: Final = 10**COUNT_DIGITS  # what is greater says no more, and may be no index
CONTROLS: Final = ("limit", "offset", "includefield", "fuzzymatching")
CHARACTER_SET, INSTANCE_AVAILABILITY, MODALITY, RETRIEVE_URL = "00080005", "00080056", "00080060", "00081190"
MODALITIES_IN_STUDY, STUDY_SERIES, STUDY_INSTANCES = "00080061", "00201206", "00201208"
SERIES_INSTANCES: Final = "00201209"
STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
TOLD: Final[dict[Level, tuple[str, ...]]] = {  # PS3.18 tables 10.6.3-3 to 10.6.3-5
    "studies": (
        *(CHARACTER_SET, "00080020", "00080030", "00080050", "00080090", "00080201", "00081030"),
        *("00100010", "00100020", "00100030", "00100040", STUDY, "00200010"),
    ),
    "series": (MODALITY, "0008103E", SERIES, "00200011", "00080021", "00080031"),
    "instances": ("00080016", INSTANCE, "00200013", "00280008", "00280010", "00280011", "00280100"),
}
NAMED_BY: Final[dict[Level, str]] = {"studies": STUDY, "series": SERIES, "instances": INSTANCE}
ABOVE: Final[dict[Level, tuple[Level, ...]]] = {
    "studies": ("studies",),
    "series": ("studies", "series"),
    "instances": ("studies", "series", "instances"),
}


@dataclass(frozen=True, slots=True)
class Query:
    """The values to match by tag, the further attributes to return (None: all), and the page."""

    matches: Mapping[str, str]
    include: frozenset[str] | None
    offset: int
    limit: int

    @classmethod
    def parse(cls, parameters: Iterable[tuple[str, str]]) -> Query:
        """Read query parameters; those that are unknown, or name no attribute that is matched here, are ignored (PS3.18
        8.3.1). Raises InvalidParameter for a page that is no number, never naming its value."""
        given = list(parameters)
        matches = {tag: value for name, value in given if name not in CONTROLS and (tag := tag_named(name)) is not None}
        controls = {name: value for name, value in given if name in CONTROLS}
        fields = [field for name, value in given if name == "includefield" for field in value.split(",")]
        include = (
            None if "all" in fields else frozenset(tag for field in fields if (tag := tag_named(field)) is not None)
        )
        return cls(
            matches, include, count_of(controls, "offset", 0), min(count_of(controls, "limit", MAX_LIMIT), MAX_LIMIT)
        )


def search(instances: Iterable[str], query: Query, level: Level, root: str) -> list[Attributes]:
    """The matching studies, series or instances among instances given as JSON texts, in their order.

    `root` is the address under which they are retrieved. A study or series matches when one of its instances does.
    """
    groups: dict[str, list[Attributes]] = {}
    for text in instances:
        attributes = json.loads(text)
        groups.setdefault(_value(attributes, NAMED_BY[level]), []).append(attributes)
    found = [group for group in groups.values() if any(_matches(query.matches, one, group) for one in group)]
    return [_told(group, query, level, root) for group in found[query.offset : query.offset + query.limit]]


def _matches(matches: Mapping[str, str], attributes: Attributes, group: Sequence[Attributes]) -> bool:
    for tag, wanted in matches.items():
        if tag == MODALITIES_IN_STUDY:
            fits = any(value_fits(_value(other, MODALITY), wanted, "CS") for other in group)
        else:
            fits = value_fits(_value(attributes, tag), wanted, dictionary_VR(int(tag, 16)))
        if not fits:
            return False
    return True


def value_fits(value: str, wanted: str, vr: str) -> bool:
    """Whether a value matches: a single value, a list of UIDs, a range of dates or times, or wildcards (PS3.4 C.2.2.2).

    An empty query value matches all.
    """
    if wanted in ("", "*"):
        return True
    if vr == "UI":
        return value in wanted.replace("\\", ",").split(",")
    if vr in ("DA", "TM", "DT") and "-" in wanted:
        low, high = wanted.split("-", 1)
        return bool(value) and (not low or value >= low) and (not high or value <= high)
    if vr == "PN":
        value, wanted = value.casefold(), wanted.casefold()
    # Of the shell's patterns only * and ? are DICOM's.
    return fnmatchcase(value, wanted.replace("[", "[[]"))


def _value(attributes: Attributes, tag: str) -> str:
    values = attributes.get(tag, {}).get("Value") or [""]
    first = values[0]
    return str(first.get("Alphabetic", "")) if isinstance(first, dict) else str(first)


def _told(group: Sequence[Attributes], query: Query, level: Level, root: str) -> Attributes:
    first = group[0]
    told = {tag for above in ABOVE[level] for tag in TOLD[above]} | (query.include or frozenset()) | set(query.matches)
    chosen = {tag: element for tag, element in first.items() if query.include is None or tag in told}
    chosen[INSTANCE_AVAILABILITY] = {"vr": "CS", "Value": ["ONLINE"]}
    chosen[RETRIEVE_URL] = {"vr": "UR", "Value": [_address(first, level, root)]}
    if level == "studies":
        chosen[MODALITIES_IN_STUDY] = {"vr": "CS", "Value": sorted({_value(one, MODALITY) for one in group})}
        chosen[STUDY_SERIES] = {"vr": "IS", "Value": [len({_value(one, SERIES) for one in group})]}
        chosen[STUDY_INSTANCES] = {"vr": "IS", "Value": [len(group)]}
    if level == "series":
        chosen[SERIES_INSTANCES] = {"vr": "IS", "Value": [len(group)]}
    return dict(sorted(chosen.items()))


def _address(attributes: Attributes, level: Level, root: str) -> str:
    parts = [part for above in ABOVE[level] for part in (above, _value(attributes, NAMED_BY[above]))]
    return "/".join([root, *parts])


def tag_named(name: str) -> str | None:
    """The tag of an attribute given by keyword or as eight hexadecimal digits; None for anything else, such as one
    inside a sequence."""
    tag = tag_for_keyword(name)
    if tag is None and len(name) == 8:
        try:
            tag = int(name, 16)
            dictionary_VR(tag)
        except (ValueError, KeyError):
            tag = None
    return None if tag is None else f"{tag:08X}"


def count_of(controls: Mapping[str, str], name: str, default: int) -> int:
    text = controls.get(name, str(default))
    if not text.isdecimal():
        raise InvalidParameter(found=f"a {name} that is no number", expected="0 or more", remedy="Correct it.")
    return int(text) if len(text) <= COUNT_DIGITS else MOST
