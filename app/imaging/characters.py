"""Text of a DICOM file as Unicode, whatever its Specific Character Set says (PS3.3 C.12.1.1.2, PS3.5 6.1.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from pydicom import filereader
from pydicom.charset import decode_bytes, default_encoding, python_encoding
from pydicom.dataelem import RawDataElement
from pydicom.hooks import hooks, raw_element_value
from pydicom.multival import MultiValue

from app.imaging.element_budget import counted_sequence

GB18030: Final = "GB18030"
FALLBACKS: Final = (
    "UTF-8",
    GB18030,
)  # the first can hardly be mistaken; the second is what most that lies turns out to be
STAND_ALONE: Final = frozenset({"ISO_IR 192", GB18030})  # without code extensions (C.12.1.1.2)
CHARACTER_SET: Final = 0x00080005
# What returns to the first set of several (PS3.5 6.1.2.5.3): of names, of multi-valued text, of lines.
DELIMITERS: Final = frozenset(b"^=\\\t\n\f\r")
GB_2312_FOLLOWS: Final = "\x1b$)A"
DAMAGE: Final = "\ufffd".encode()  # what somebody before could not decode: it is no Chinese, though GB18030 has a word
PRIVATE: Final = re.compile(r"[\ue000-\uf8ff]")  # what Big5 becomes as GB18030; it has no meaning
MARK: Final = "\ufeff"  # some programs begin UTF-8 with it
UNFIT: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffd-\uffff]")
FIRST_HIGH_BYTE: Final = 0x80


def _plain(term: str) -> str:
    """A term without what is often misspelt in it: ISO-IR 100, iso 2022 ir 87, utf-8."""
    return re.sub("[^A-Z0-9]", "", term.upper())


TERMS: Final = {_plain(term): term for term in python_encoding}
TERMS.update({"UTF8": "ISO_IR 192", "GBK": GB18030, "GB2312": GB18030})


class Decoded(NamedTuple):
    """A text, and whether it had to be read in another character set than the declared one."""

    text: str
    assumed: bool


def known_terms(value: Any) -> list[str]:  # what pydicom makes of a damaged attribute
    """The defined terms in a value of Specific Character Set; an empty first one, the default, where it is none."""
    several = [value] if isinstance(value, str) else value if isinstance(value, list | tuple | MultiValue) else []
    first, *others = [TERMS.get(_plain(str(term))) for term in several] or [""]
    if first in STAND_ALONE:
        return [first]
    return [first or "", *(other for other in others if other is not None and other not in STAND_ALONE)]


def encodings_of(value: Any) -> list[str]:
    """Python's names for a value of Specific Character Set."""
    return [python_encoding[term] for term in known_terms(value)]


def ignore_odd_character_sets() -> None:
    """Have pydicom read files whose Specific Character Set is none, and sequences within bounds; process-wide, like its
    settings."""
    hooks.register_callback("raw_element_value", _value_with_known_terms)
    # Before the hook it looks for a codec of that name, which raises for a name with a zero in it.
    vars(filereader)["convert_encodings"] = encodings_of


def _value_with_known_terms(raw: RawDataElement, data: dict[str, Any], **context: Any) -> None:
    if raw.tag != CHARACTER_SET:
        if data["VR"] == "SQ" and isinstance(raw.value, bytes):
            data["value"] = counted_sequence(raw, context.get("encoding") or [default_encoding])
        else:
            raw_element_value(raw, data, **context)
        return
    value = raw.value.decode(default_encoding) if isinstance(raw.value, bytes) else ""
    first, *others = known_terms(value.split("\\"))
    data["VR"], data["value"] = "CS", MultiValue(str, [first, *others]) if others else first


def decode_text(value: bytes, encodings: Sequence[str]) -> Decoded | None:
    """The text of a value, padding removed; None where it can be read in no way.

    What is not in the declared sets is read as UTF-8 or GB18030 where that makes sense; without a declared set also as
    Latin-1, as which it was always read. A text never holds U+FFFD, nor a control character but those of lines.
    """
    value = value.rstrip(b" \0")
    text = _declared(value, encodings)
    if text is not None:
        return Decoded(text, assumed=False)
    if DAMAGE in value:
        return None
    others = [*FALLBACKS, "latin-1"] if encodings[0] == default_encoding else FALLBACKS
    found = next((text for encoding in others if (text := _strict(value, encoding)) is not None), None)
    return None if found is None or PRIVATE.search(found) else Decoded(found, assumed=True)


def _declared(value: bytes, encodings: Sequence[str]) -> str | None:
    # The default repertoire is ASCII (PS3.5 6.1.2.2); pydicom takes it for Latin-1, in which nothing is ever wrong.
    strict = ["ascii" if encoding == default_encoding else encoding for encoding in encodings]
    if b"\x1b" not in value:
        return _strict(value, strict[0])
    # It puts U+FFFD in place of what it cannot decode, and leaves the escapes of one set in the text.
    text = decode_bytes(value, strict, set(DELIMITERS)).replace(GB_2312_FOLLOWS, "")
    return None if UNFIT.search(text) else text


def _strict(value: bytes, encoding: str) -> str | None:
    try:
        text = value.decode(encoding)
    except UnicodeError:
        return None
    if UNFIT.search(text) or (encoding == GB18030 and any(_swallowed_letters(text))):
        return None
    return text.removeprefix(MARK)


def _swallowed_letters(text: str) -> Iterator[bool]:
    """Whether each character of two bytes is an accented Latin letter and the ASCII letter after it: Müller in Latin-1
    is valid GB18030, and no Chinese name."""
    for at, character in enumerate(text):
        code = character.encode(GB18030)
        neighbours = text[max(at - 1, 0) : at] + text[at + 1 : at + 2]
        yield len(code) == 2 and code[1] < FIRST_HIGH_BYTE and any(n.isascii() and n.isalpha() for n in neighbours)
