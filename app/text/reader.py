"""Reads a report: its sentences, what rules find in them, and what the tagger says where there is one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from app.inference.backends import Backend
from app.inference.signatures import find_signed
from app.text.mentions import mentions_of
from app.text.rules import language_of, statements_of
from app.text.sentences import sentences_of
from app.text.statements import Language, Mention, Sentence
from app.text.tagger import Tagger

TaggerState = Literal["ready", "absent", "loading", "failed", "language_not_carried"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a report states. `tagger` is the one that labelled the sentences; None where `tagger_state` says why not."""

    language: Language
    sentences: tuple[Sentence, ...]
    mentions: tuple[Mention, ...]
    tagger: Tagger | None
    tagger_state: TaggerState


class ReportReader:
    """Reads reports, with a tagger's labels once `load` is done; without a tagger by rules alone. Thread-safe."""

    def __init__(self, tagger: Tagger | None = None) -> None:
        self.tagger = tagger
        self.state: TaggerState = "absent" if tagger is None else "loading"

    @classmethod
    def verified(cls, models_dir: Path, name: str, backend: Backend, trusted_key: Path | None = None) -> ReportReader:
        """A reader with the highest version of the tagger under a folder, not loaded; without its folder, without one.

        Raises BundleError naming what differs; with a `trusted_key` the tagger must be signed by it.
        """
        if not (models_dir / name.partition("/")[0]).is_dir():
            return cls()
        return cls(Tagger.verify(find_signed(models_dir, name, trusted_key), backend))

    def load(self) -> None:
        """Load the tagger, if there is one. Blocking; raises BundleError, and is `failed` then."""
        if self.tagger is None:
            return
        try:
            self.tagger.load()
        except BaseException:
            self.state = "failed"
            raise
        self.state = "ready"

    def read(self, text: str, language: Language | None = None) -> Reading:
        """What `text` states; its language is found by its script unless it is given. Nothing of it is kept."""
        spoken = language or language_of(text)
        sentences = [Sentence(span, statements_of(text, span, spoken)) for span in sentences_of(text)]
        state, tagger = self._state_for(spoken), self.tagger
        if state == "ready" and tagger is not None:
            labels = tagger.labels([text[each.span.start : each.span.end] for each in sentences])
            sentences = [replace(each, labels=own) for each, own in zip(sentences, labels, strict=True)]
        mentions = mentions_of(text, sentences, spoken)
        return Reading(spoken, tuple(sentences), mentions, tagger if state == "ready" else None, state)

    def _state_for(self, language: Language) -> TaggerState:
        carried = self.tagger is not None and language in self.tagger.manifest.languages
        return "language_not_carried" if self.state == "ready" and not carried else self.state
