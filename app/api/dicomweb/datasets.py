"""A data set that a client sends as DICOM JSON (PS3.18 F), checked before anything is done with it."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pydicom.datadict import dictionary_VR, keyword_for_tag

from app.api.dicomweb.answers import DICOM_JSON
from app.api.negotiation import JSON
from app.delivery.attributes import Attributes
from app.errors import UnsupportedMediaType
from app.errors.workitems import InvalidWorkitem
from app.imaging.values import TEXTS, is_valid

MAX_DEPTH: Final = 8  # of sequences: a workitem needs five
MAX_ELEMENTS: Final = 20_000  # with their values: an input that lists every slice of a long series has a quarter
FIRST_GROUP: Final = 0x0008  # below are those of commands and files, which stand in no data set
TAG: Final = re.compile("[0-9A-Fa-f]{8}")
INT32: Final = (-(2**31), 2**31)
# DS and IS are texts that may be numbers in JSON (PS3.18 F.2.3).
WHOLE: Final = {"US": (0, 2**16), "SS": (-(2**15), 2**15), "UL": (0, 2**32), "SL": INT32, "IS": INT32}
REAL: Final = ("FL", "FD")
MOST: Final = 1e300  # a greater one is no number that anybody means; neither is what is no number
NAME_GROUPS: Final = frozenset({"Alphabetic", "Ideographic", "Phonetic"})


def read_dataset(content_type: str, body: bytes | memoryview) -> tuple[Attributes, bool]:
    """The data set of a body, and whether attributes were left out: private ones, and those that are in no dictionary.

    An array with one data set is taken for it. Raises UnsupportedMediaType and InvalidWorkitem.
    """
    if content_type.partition(";")[0].strip().lower() not in (DICOM_JSON, JSON):
        raise UnsupportedMediaType(
            found="another Content-Type", expected=DICOM_JSON, remedy="Send the data set as DICOM JSON."
        )
    try:
        sent = json.loads(bytes(body))
    except (ValueError, RecursionError):
        raise _unusable("a body that is no JSON") from None
    if isinstance(sent, list) and len(sent) == 1:
        sent = sent[0]
    reader = _Reader()
    return reader.dataset(sent, MAX_DEPTH), reader.left_out


class _Reader:
    """Reads one data set with the items of its sequences."""

    def __init__(self) -> None:
        self.left_out = False
        self._elements = 0

    def dataset(self, sent: object, depth: int) -> Attributes:
        if not isinstance(sent, dict) or not depth:
            raise _unusable("what is no data set, or nested too deep")
        self._count(len(sent))
        known = {tag.upper(): element for tag, element in sent.items() if _vr_of(tag)}
        self.left_out |= len(known) < len(sent)
        return {tag: self._element(tag, element, depth) for tag, element in known.items()}

    def _element(self, tag: str, element: object, depth: int) -> dict[str, Any]:
        vr = element.get("vr") if isinstance(element, dict) else None
        if not isinstance(element, dict) or vr not in _vr_of(tag).split(" or ") or element.keys() - {"vr", "Value"}:
            raise _of(tag, "another shape or VR than its own")
        values = element.get("Value", [])
        if not isinstance(values, list):
            raise _of(tag, "a Value that is no array")
        self._count(len(values))
        read = [self._value(tag, str(vr), value, depth) for value in values]
        if all(value is None for value in read):
            return {"vr": vr}
        return {"vr": vr, "Value": read}

    def _count(self, more: int) -> None:
        self._elements += more
        if self._elements > MAX_ELEMENTS:
            raise _unusable("too many attributes or values")

    def _value(self, tag: str, vr: str, value: object, depth: int) -> object:
        if vr == "SQ":
            return self.dataset({} if value is None else value, depth - 1)
        if value is None or value == "":
            return None
        if not _is_value(vr, value):
            raise _of(tag, f"a value that is no {vr}")
        return value


def _is_value(vr: str, value: Any) -> bool:
    if vr == "PN":
        return isinstance(value, dict) and value.keys() <= NAME_GROUPS and all(map(_is_name, value.values()))
    if isinstance(value, bool):
        return False
    if vr == "DS" and isinstance(value, int | float):
        return abs(value) < MOST
    if isinstance(value, str):
        return vr in TEXTS and is_valid(vr, value)
    if vr in REAL:
        return isinstance(value, int | float) and abs(value) < MOST
    low, high = WHOLE.get(vr, (0, 0))
    return isinstance(value, int) and low <= value < high


def _is_name(text: object) -> bool:
    return isinstance(text, str) and (not text or is_valid("PN", text))


def _vr_of(tag: str) -> str:
    """The VR of a tag of the dictionary, or several; empty for a private tag, or none that belongs into a data set."""
    if not TAG.fullmatch(tag):
        return ""
    try:
        return dictionary_VR(int(tag, 16)) if int(tag[:4], 16) >= FIRST_GROUP else ""
    except KeyError:
        return ""


def _of(tag: str, found: str) -> InvalidWorkitem:
    return _unusable(f"{found} in {keyword_for_tag(int(tag, 16))}")


def _unusable(found: str) -> InvalidWorkitem:
    return InvalidWorkitem(
        found=found, expected="one data set as DICOM JSON (PS3.18 F)", remedy="Correct the data set."
    )
