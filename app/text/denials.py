"""What a sentence says is not there, or may not be (after NegEx: Chapman et al. 2001, doi 10.1006/jbin.2001.1029)."""

from __future__ import annotations

import re
from typing import Final

from app.text.lexicon import Lexicon
from app.text.sentences import Span

REACH: Final = 80  # characters before a finding in which words of doubt are looked for


class Denials:
    """The words of one sentence that deny or doubt, found once."""

    def __init__(self, words: str, lexicon: Lexicon) -> None:
        self._words, self._lexicon = words, lexicon
        spared = [Span(*match.span()) for match in lexicon.no_denial.finditer(words)]
        self._before = _cues(lexicon.denial_before, words, spared)
        self._after = _cues(lexicon.denial_after, words, spared)

    @property
    def cues(self) -> list[Span]:
        """Where words deny something."""
        return self._before + self._after

    def deny(self, span: Span) -> bool:
        """Whether the sentence says that what stands at `span` is not there."""
        words, ends = self._words, self._lexicon.denial_ends
        before = next((cue for cue in reversed(self._before) if cue.end <= span.start), None)
        if before is not None and not ends.search(words, before.end, span.start):
            return True
        if self._lexicon.spared.match(words, span.end):
            return False
        after = next((cue for cue in self._after if cue.start >= span.end), None)
        return after is not None and not ends.search(words, span.end, after.start)

    def doubt(self, span: Span) -> bool:
        """Whether the sentence leaves open if what stands at `span` is there."""
        words, lexicon = self._words, self._lexicon
        before = words[max(0, span.start - REACH) : span.start]
        return bool(lexicon.doubt_before.search(before) or lexicon.doubt_after.match(words, span.end))


def _cues(pattern: re.Pattern[str], words: str, spared: list[Span]) -> list[Span]:
    found = (Span(*match.span()) for match in pattern.finditer(words))
    return [cue for cue in found if not any(map(cue.overlaps, spared))]
