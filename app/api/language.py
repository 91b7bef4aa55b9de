"""Which of our languages a caller prefers (RFC 9110 12.5.4)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from app.api.accepted import KNOWN_HEADERS, read_weight
from app.inference.vocabulary import Language

DEFAULT: Language = "en"
KNOWN: dict[str, Language] = {"en": "en", "zh": "zh"}
# FastAPI would write that it may be null, which no header can be.
PARAMETER: Final = {
    "name": "Accept-Language",
    "in": "header",
    "schema": {"type": "string"},
    "description": "zh gives Chinese words in `display`, anything else English ones.",
}


@lru_cache(maxsize=KNOWN_HEADERS)
def preferred_language(accept_language: str | None) -> Language:
    """The known language with the highest weight; English where none is wanted or the header makes no sense."""
    best: tuple[float, Language] = (0.0, DEFAULT)
    for part in (accept_language or "").split(","):
        tag, _, parameter = part.strip().partition(";")
        language = KNOWN.get(tag.strip().lower().split("-")[0])
        weight = _weight(parameter)
        if language is not None and weight > best[0]:
            best = (weight, language)
    return best[1]


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    return read_weight(value) if name.strip().lower() == "q" else 1.0
