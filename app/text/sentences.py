"""Where the sentences of a report begin and end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

END_MARKS: Final = "。．！？!?"
# What a capital letter or a number may follow within a sentence.
_ABBREVIATION: Final = re.compile(
    r"\b(?:approx|ca|cf|dr|e\.g|fig|i\.e|im|mr|mrs|ms|no|nr|pt|se|vs|[A-Z])\.$", re.IGNORECASE
)
_ABBREVIATION_REACH: Final = 10  # characters before the point that are looked at
_ENUMERATOR: Final = re.compile(r"[\s\u3000]*(?:[-*•・●■◆▪–]+|\(?[0-9０-９]{1,2}[.)）．、](?![0-9０-９]))[\s\u3000]*")
MAX_LENGTH: Final = 1000  # of a sentence: what has no marks at all is cut, so that no rule looks at it all at once
_LINE_END: Final = re.compile(r"\r\n|[\n\r\v\f\x85\u2028\u2029]")
_HEADING_END: Final = (":", "：")


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text, in Unicode code points."""

    start: int
    end: int

    def overlaps(self, other: Span) -> bool:
        """Whether the two have a character in common."""
        return self.start < other.end and other.start < self.end

    def moved(self, by: int) -> Span:
        """The same characters where the text begins `by` later."""
        return Span(self.start + by, self.end + by)


def sentences_of(text: str) -> list[Span]:
    """The sentences of a report in their order, without the white space around them.

    A line end is one of a sentence unless the line was wrapped: where most lines of a report end with a mark, one that
    ends without is wrapped, and so is one before a small Latin letter. Longer ones than MAX_LENGTH are cut.
    """
    found: list[Span] = []
    for paragraph in _paragraphs(text):
        for part in _marked(text, paragraph):
            cut = (Span(start, min(start + MAX_LENGTH, part.end)) for start in range(part.start, part.end, MAX_LENGTH))
            found += [span for piece in cut if (span := _trimmed(text, piece)).end > span.start]
    return found


def _paragraphs(text: str) -> Iterator[Span]:
    """Lines, those joined that were wrapped."""
    lines = list(_lines(text))
    ended = [_is_ended(text, line) for line in lines]
    mostly_ended = 2 * sum(ended) > sum(1 for line in lines if text[line.start : line.end].strip())
    start = 0
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else None
        if following is None or not _is_wrapped(text, line, following, mostly_ended=mostly_ended):
            yield Span(start, line.end)
            start = line.end if following is None else following.start


def _lines(text: str) -> Iterator[Span]:
    start = 0
    for end in _LINE_END.finditer(text):
        yield Span(start, end.start())
        start = end.end()
    yield Span(start, len(text))


def _is_ended(text: str, line: Span) -> bool:
    return text[line.start : line.end].rstrip()[-1:] in (*END_MARKS, ".")


def _is_wrapped(text: str, line: Span, following: Span, *, mostly_ended: bool) -> bool:
    here, there = text[line.start : line.end].rstrip(), text[following.start : following.end].lstrip()
    if not here or not there or here.endswith((*END_MARKS, ".", *_HEADING_END)) or _ENUMERATOR.match(there):
        return False
    if there[0].islower() and there[0].isascii():
        return True
    # An English report's lines without a mark are items; Chinese and Japanese has no capitals that would tell.
    return mostly_ended and not there[0].isascii() and not here[-1].isascii()


def _marked(text: str, paragraph: Span) -> Iterator[Span]:
    """The sentences of a paragraph, by their marks."""
    begun = _ENUMERATOR.match(text, paragraph.start, paragraph.end)
    start, place = paragraph.start, paragraph.start if begun is None else begun.end()
    while place < paragraph.end:
        if _ends_at(text, place, start, paragraph.end):
            yield Span(start, place + 1)
            start = place + 1
        place += 1
    yield Span(start, paragraph.end)


def _ends_at(text: str, place: int, start: int, end: int) -> bool:
    mark, after = text[place], text[place + 1 : end][:1]
    if mark == "．":
        return not after.isdigit()
    if mark in END_MARKS:
        return after not in END_MARKS
    if mark != "." or not (after == "" or after.isspace() or after in "\"')」）"):
        return False
    if after == "":
        return True
    following = text[place + 1 : end].lstrip(" \t\r\n\"')」）")[:1]
    return not following.islower() and not _ABBREVIATION.search(
        text[max(start, place - _ABBREVIATION_REACH) : place + 1]
    )


def _trimmed(text: str, span: Span) -> Span:
    """A span without the white space, the mark of a list, and the byte order mark around it."""
    start, end = span
    while start < end and (text[start].isspace() or text[start] == "\ufeff"):
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if (mark := _ENUMERATOR.match(text, start, end)) is not None:
        start = mark.end()
    return Span(start, end)
