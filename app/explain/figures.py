"""Numbers as people read them: of no more digits than they carry, and marked where they rest on an assumption."""

from __future__ import annotations

import hashlib
from typing import Final

from app.explain.captions import CAPTIONS
from app.inference.prediction import Measured, Prediction, Size
from app.inference.vocabulary import Language

SPACING_ASSUMED: Final = "spacing_assumed"  # the quality code of a picture without a stated spacing
HASH_DIGITS: Final = 8


def percent(probability: float) -> str:
    """A probability in whole percent, never rounded to certainty."""
    rounded = round(probability * 100)
    if rounded == 0:
        return "<1 %"
    return ">99 %" if rounded == 100 else f"{rounded} %"


def is_assumed(prediction: Prediction) -> bool:
    """Whether nobody stated how large a pixel is."""
    return any(note.code == SPACING_ASSUMED for note in prediction.quality)


def millimetres(length_mm: float, prediction: Prediction) -> str:
    """A length, marked as rough where it rests on an assumed spacing."""
    return f"{'~' if is_assumed(prediction) else ''}{length_mm:.1f} mm"


def axes_words(size: Size, prediction: Prediction) -> str:
    """Long and short axis."""
    rough = "~" if is_assumed(prediction) else ""
    return f"{rough}{size.axes.long_mm:.1f} × {size.axes.short_mm:.1f} mm"


def mean_words(mean_mm: Measured, prediction: Prediction, language: Language) -> str:
    """The mean of both axes, with its interval."""
    interval = f"{mean_mm.low:.1f}–{mean_mm.high:.1f}"
    return f"{CAPTIONS['mean'][language]} {millimetres(mean_mm.value, prediction)} ({interval})"


def series_hash(series_instance_uid: str | None) -> str | None:
    """What tells one series from another on paper, where its number or description may say who the patient is."""
    if series_instance_uid is None:
        return None
    return hashlib.sha256(series_instance_uid.encode()).hexdigest()[:HASH_DIGITS]
