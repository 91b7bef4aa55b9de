"""What stands beside the anatomy: a scale on it; below it the decision, the findings, the colours and the limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.explain.canvas import Magnification, Rgb, draw_line, draw_text, text_size, text_width
from app.explain.captions import CAPTIONS, SUSPICION_WORDS
from app.explain.palette import blend
from app.inference.prediction import Finding, Prediction
from app.inference.vocabulary import DECISION_WORDS, Language

SPACING_ASSUMED: Final = "spacing_assumed"  # the quality code of a picture without a stated spacing
SCALE_MM: Final = (1, 2, 5, 10, 20, 50, 100)
SCALE_PX: Final = (5, 10, 20, 50, 100, 200, 500)
SCALE_FRACTION: Final = 0.15  # of the picture's width, at most
MARGIN_PX: Final = 10
BAR_GREY: Final = 110  # lung parenchyma in the lung window, below the colour bar
MAX_LISTED: Final = 5  # findings in words; the others have their number on the picture
LINE_HEIGHT: Final = 1.45  # of the words' height


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


def draw_scale(rgb: Rgb, prediction: Prediction, scale: Magnification, language: Language) -> None:
    """Bars of one length along both axes, in mm, or in pixels of the image when its spacing was assumed; in place."""
    assumed = is_assumed(prediction)
    per_row, per_column = (1.0, 1.0) if assumed else prediction.spacing_mm
    room = rgb.shape[1] * SCALE_FRACTION / scale.factor * min(per_row, per_column)
    length = max((n for n in (SCALE_PX if assumed else SCALE_MM) if n <= room), default=1)
    across, down = (length / per * scale.factor for per in (per_column, per_row))
    left, bottom = float(MARGIN_PX), float(rgb.shape[0] - MARGIN_PX)
    draw_line(rgb, np.array([(left, bottom - down), (left, bottom), (left + across, bottom)]), width_px=2)
    words = f"{length} px ({CAPTIONS['assumed'][language]})" if assumed else f"{length} mm"
    size = text_size(rgb)
    draw_text(rgb, words, (left + MARGIN_PX, bottom - LINE_HEIGHT * size), size)


def append_legend(
    rgb: Rgb, prediction: Prediction, findings: Sequence[Finding], *, model: str, language: Language
) -> Rgb:
    """The picture with the legend below it."""
    size, column = text_size(rgb), MARGIN_PX
    step = round(LINE_HEIGHT * size)
    lines = [
        *_finding_lines(findings, prediction, language),
        *([", ".join(prediction.reasons)] if prediction.reasons else []),
    ]
    explained = any(finding.probability is not None for finding in findings)
    panel = np.zeros(((len(lines) + explained + 4) * step + MARGIN_PX, rgb.shape[1], 3), np.uint8)
    draw_text(panel, headline(prediction, language), (column, MARGIN_PX), round(1.3 * size))
    row = MARGIN_PX + round(1.4 * step)
    for line in lines:
        draw_text(panel, line, (column, row), size)
        row += step
    if explained:
        _draw_colours(panel, row, size, language)
        row += step
    draw_text(panel, CAPTIONS["disclaimer"][language], (column, row + step / 4), size)
    draw_text(panel, model, (column, row + 1.25 * step), round(0.8 * size))
    return np.concatenate([rgb, panel])


def headline(prediction: Prediction, language: Language) -> str:
    """The decision; that of a series is marked as such, for the slice shown may look otherwise."""
    words = DECISION_WORDS[prediction.decision][language]
    if prediction.series is not None:
        words = f"{CAPTIONS['series'][language]}: {words}"
    return words if prediction.probability is None else f"{words} · {percent(prediction.probability)}"


def _finding_lines(findings: Sequence[Finding], prediction: Prediction, language: Language) -> list[str]:
    if not findings:
        return [CAPTIONS["none"][language]]
    lines = [_finding_line(finding, prediction, language) for finding in findings[:MAX_LISTED]]
    if len(findings) > MAX_LISTED:
        lines.append(f"+ {len(findings) - MAX_LISTED} {CAPTIONS['more'][language]}")
    return lines


def _finding_line(finding: Finding, prediction: Prediction, language: Language) -> str:
    judged = finding.probability
    parts = [CAPTIONS["not_judged"][language] if judged is None else percent(judged)]
    if finding.diameter_mm is not None:
        parts.append(millimetres(finding.diameter_mm, prediction))
    if finding.suspicion is not None:
        parts.append(SUSPICION_WORDS[finding.suspicion][language])
    return f"{CAPTIONS['finding'][language]} {finding.id}: {' · '.join(parts)}"


def _draw_colours(panel: Rgb, row: int, size: int, language: Language) -> None:
    """The evidence from 0 to 1 over lung grey, between the words for its ends."""
    title, against, speaks_for = (CAPTIONS[word][language] for word in ("evidence", "against", "for"))
    head = f"{title}: {against}"
    draw_text(panel, head, (MARGIN_PX, row), size)
    left = round(MARGIN_PX + text_width(head, size) + MARGIN_PX)
    width = min(8 * size, max(size, panel.shape[1] - left - MARGIN_PX))
    values = np.tile(np.linspace(0, 1, width, dtype=np.float32), (size, 1))
    panel[row : row + size, left : left + width] = blend(np.full(values.shape, BAR_GREY, np.uint8), values)
    draw_text(panel, speaks_for, (left + width + MARGIN_PX, row), size)
