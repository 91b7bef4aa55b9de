"""What a value of each representation may be (PS3.5 6.2), in one place: pydicom's rules, and what they leave open."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date
from typing import Final

from pydicom import config
from pydicom.valuerep import DT, validate_value

UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)*")
MAX_UID_LENGTH: Final = 64
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd-\uffff]")
NAME_COMPONENTS: Final = 5  # family, given, middle, prefix, suffix
INT32: Final = range(-(2**31), 2**31)
LINES: Final = frozenset({"LT", "ST", "UT"})  # text of several lines, in which a backslash separates nothing
INTERNATIONAL: Final = LINES | {"LO", "PN", "SH", "UC"}  # all others are ASCII
TEXTS: Final = INTERNATIONAL | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}
# Values that a module enumerates, or whose form it lays down, of what results take over (PS3.3 C.7, C.12).
ENUMERATED: Final[dict[str, re.Pattern[str]]] = {
    "PatientSex": re.compile("[MFO]"),
    "PatientIdentityRemoved": re.compile("YES|NO"),
    "QualityControlSubject": re.compile("YES|NO"),
    "SmokingStatus": re.compile("YES|NO|UNKNOWN"),
    "TypeOfPatientID": re.compile("TEXT|RFID|BARCODE"),
    "ResponsiblePersonRole": re.compile("[A-Z_]+"),
    "TimezoneOffsetFromUTC": re.compile("[+-](0[0-9]|1[0-4])[0-5][0-9]"),
    "PregnancyStatus": re.compile("[1-4]"),
}


def is_uid(text: str) -> bool:
    """Whether a text can be used as UID: numbers separated by dots, at most 64 characters (PS3.5 9.1).

    Zeros at the beginning of a component but the first are let pass: the rule forbids them, archives hold such studies.
    """
    return len(text) <= MAX_UID_LENGTH and UID.fullmatch(text) is not None


def is_valid(vr: str, value: str) -> bool:
    """Whether a text without padding, not empty, is one value of a representation among TEXTS."""
    text = re.sub("[\t\n\f\r]", "", value) if vr in LINES else value
    if CONTROL.search(text) or not (vr in INTERNATIONAL or value.isascii()):
        return False
    own = OWN_RULES.get(vr)
    try:
        if vr not in REPLACED:
            validate_value(vr, value, config.RAISE)
        return own is None or own(value)
    except (ValueError, OverflowError):
        return False


def fitted(vr: str, value: str) -> str | None:
    """The value where it is valid, or what says the same validly; None where there is neither."""
    if is_valid(vr, value):
        return value
    if vr != "PN":
        return None
    # Components at the end that are empty may be left out (PS3.5 6.2.1.1): some write more of them than there are.
    shorter = "=".join(group.rstrip("^ ") for group in value.split("="))
    return shorter if is_valid(vr, shorter) else None


def may_stand_in(keyword: str, value: object) -> bool:
    """Whether a value is among those that the attribute's module allows."""
    allowed = ENUMERATED.get(keyword)
    return allowed is None or allowed.fullmatch(str(value)) is not None


def _is_day(value: str) -> bool:
    """One day of the calendar; a range is for queries (PS3.4 C.2.2.2.5)."""
    return len(value) == len("YYYYMMDD") and bool(date(int(value[:4]), int(value[4:6]), int(value[6:])))


def _is_moment(value: str) -> bool:
    return bool(DT(value))


def _is_time(value: str) -> bool:
    return "-" not in value


def _is_name(value: str) -> bool:
    return "\\" not in value and all(group.count("^") < NAME_COMPONENTS for group in value.split("="))


OWN_RULES: Final[dict[str, Callable[[str], bool]]] = {
    "DA": _is_day,
    "DS": lambda value: math.isfinite(float(value)),
    "DT": _is_moment,
    "IS": lambda value: int(value) in INT32,
    "PN": _is_name,
    "TM": _is_time,
    "UI": is_uid,
}
REPLACED: Final = frozenset({"UI"})  # pydicom's rule is stricter than what is let pass
