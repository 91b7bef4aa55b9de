"""Reads the text of a report from a request, in memory only."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final, get_args

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from app.api.header_values import options_of
from app.api.uploads.body import BodyLimit, body_of
from app.errors import EmptyInput, InvalidParameter, MalformedText, UnsupportedCharset, UnsupportedMediaType
from app.text.statements import Language

PLAIN: Final = "text/plain"
JSON: Final = "application/json"
CHARSETS: Final = ("utf-8", "utf8", "us-ascii", "ascii")
LAYOUT: Final = "\t\n\r\f\v\x85"  # control characters that texts have
CORRECT: Final = "Send the report as plain text in UTF-8, or as JSON with `text`."


class ReportIn(BaseModel):
    """A report as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    text: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class ReportUpload:
    """The text of one report, its size in bytes, and its language where the client stated it."""

    text: str
    size_bytes: int
    language: Language | None


async def read_report(request: Request, language: Language | None, limit: BodyLimit) -> ReportUpload:
    """Read a report from a request, as plain text or JSON; `language` is that of the query.

    Raises UnsupportedMediaType, UnsupportedCharset, MalformedText, EmptyInput, InvalidParameter and the errors of a
    body.
    """
    kind, options = options_of(request.headers.get("content-type", PLAIN))
    media_type = kind.decode("latin-1").lower()
    _require_text(media_type, options.get(b"charset", b"utf-8").decode("latin-1").lower())
    body = bytes(await body_of(request, limit))
    stated = _json(body) if media_type == JSON else ReportIn(text=text_of(body))
    require_characters(stated.text)
    return ReportUpload(stated.text, len(body), _language(language, stated.language))


def text_of(data: bytes) -> str:
    """Bytes as text; a byte order mark is a character of it. Raises MalformedText."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedText(
            found=f"bytes that are not UTF-8, from byte {error.start}",
            expected="text in UTF-8",
            remedy="Convert it before, for example with iconv -f shift_jis -t utf-8.",
        ) from None


def _require_text(media_type: str, charset: str) -> None:
    if media_type not in (PLAIN, JSON):
        raise UnsupportedMediaType(
            found="a Content-Type that is neither plain text nor JSON",
            expected=f"{PLAIN}; charset=utf-8, or {JSON}",
            remedy="With curl: -H 'Content-Type: text/plain; charset=utf-8' --data-binary @report.txt",
        )
    if charset not in CHARSETS:
        raise UnsupportedCharset(
            found="a Content-Type with another character set",
            expected="charset=utf-8",
            remedy="Convert the text to UTF-8 before.",
        )


def _json(body: bytes) -> ReportIn:
    if not body:
        raise _nothing("no bytes")
    try:
        return ReportIn.model_validate_json(body)
    except ValidationError:
        raise MalformedText(
            found="JSON that is no report",
            expected='{"text": "…"}, and perhaps "language"',
            remedy="Correct the body.",
        ) from None


def require_characters(text: str) -> None:
    """Raise EmptyInput for white space alone, MalformedText for control characters and halves of characters."""
    if not text.strip().strip("\ufeff"):
        raise _nothing("no words")
    wrong = [n for n, each in enumerate(text) if unicodedata.category(each) in ("Cc", "Cs") and each not in LAYOUT]
    if wrong:
        raise MalformedText(
            found=f"a control character, U+{ord(text[wrong[0]]):04X}, at character {wrong[0]}",
            expected="text with no others than line ends and tabulators",
            remedy=CORRECT,
        )


def _nothing(found: str) -> EmptyInput:
    return EmptyInput(found=found, expected="the text of a radiology report", remedy=CORRECT)


def _language(of_query: Language | None, of_body: str | None) -> Language | None:
    if of_body is None:
        return of_query
    if of_query not in (None, of_body) or of_body not in get_args(Language):
        raise InvalidParameter(
            found="a language that is not read here, or one in the query and another in the body",
            expected=" or ".join(get_args(Language)),
            remedy="Correct language, or leave it out.",
        )
    return next(language for language in get_args(Language) if language == of_body)
