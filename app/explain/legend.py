"""What stands beside the anatomy: a scale and the slice on it; below it the findings, the decision, the colours and the
limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from app.explain.canvas import Magnification, Rgb, draw_line, draw_text, text_size, text_width, wrapped
from app.explain.captions import CAPTIONS, SUSPICION_WORDS
from app.explain.figures import axes_words, is_assumed, mean_words, percent, series_hash
from app.explain.marks import colour_of, is_faint
from app.explain.palette import OUTLINE, Colour, blend
from app.imaging.ct import CTSlice
from app.inference.finding_words import ATTENUATION_WORDS, COMMA, place_words, slice_words
from app.inference.prediction import Finding, Prediction, SliceRef
from app.inference.reason_words import reason_words
from app.inference.vocabulary import DECISION_WORDS, Language

SCALE_MM: Final = (1, 2, 5, 10, 20, 50, 100)
SCALE_PX: Final = (5, 10, 20, 50, 100, 200, 500)
SCALE_FRACTION: Final = 0.15  # of the picture's width, at most
MARGIN_PX: Final = 10
BAR_GREY: Final = 110  # lung parenchyma in the lung window, below the colour bar
MAX_LISTED: Final = 5  # findings in words; the others have their number on the picture
LINE_HEIGHT: Final = 1.45  # of the words' height
LARGE: Final = 2.2  # the finding's own probability, of the words' height
BESIDE: Final = 1.3  # the decision beside it
ALONE: Final = 1.8  # the decision alone


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


def draw_place(
    rgb: Rgb, ct_slice: CTSlice, prediction: Prediction, slice_ref: SliceRef | None, language: Language
) -> None:
    """Which slice it is, where it lies along the body, and of which series, in the upper left corner; in place."""
    size = text_size(rgb)
    lines = []
    if slice_ref is not None and prediction.series is not None:
        lines.append(slice_words(slice_ref.index, prediction.series.slices, language).capitalize())
    if ct_slice.position_mm is not None:
        lines.append(f"z {ct_slice.position_mm[2]:.1f} mm")
    if (told := series_hash(ct_slice.source.series_instance_uid)) is not None:
        lines.append(f"{CAPTIONS['series'][language]} {told}")
    for n, line in enumerate(lines):
        draw_text(rgb, line, (MARGIN_PX, MARGIN_PX + n * LINE_HEIGHT * size), size)


def append_legend(
    rgb: Rgb, prediction: Prediction, findings: Sequence[Finding], *, model: str, language: Language
) -> Rgb:
    """The picture with the legend below it."""
    size = text_size(rgb)
    step = round(LINE_HEIGHT * size)
    room = rgb.shape[1] - 2 * MARGIN_PX
    lines = [
        (line, colour)
        for text, colour in _paragraphs(prediction, findings, language)
        for line in wrapped(text, size, room)
    ]
    head = _head(rgb.shape[1], size, prediction, findings, language)
    explained = any(finding.probability is not None and not is_faint(finding) for finding in findings)
    panel = np.zeros(((len(lines) + explained + 3) * step + MARGIN_PX // 2, rgb.shape[1], 3), np.uint8)
    row = MARGIN_PX // 2
    for line, colour in lines:
        draw_text(panel, line, (MARGIN_PX, row), size, colour, cased=False)
        row += step
    if explained:
        _draw_colours(panel, row, size, language)
        row += step
    draw_text(panel, CAPTIONS["disclaimer"][language], (MARGIN_PX, row + step / 4), size, cased=False)
    draw_text(panel, model, (MARGIN_PX, row + 1.25 * step), round(0.8 * size), cased=False)
    return np.concatenate([rgb, head, panel])


def headline(prediction: Prediction, language: Language) -> str:
    """The decision, and for what it is: the slice shown, or the finding, may look otherwise than the whole."""
    words = DECISION_WORDS[prediction.decision][language]
    if prediction.series is not None:
        words = f"{CAPTIONS['scan_series'][language]}: {words}"
    elif prediction.point is not None:
        words = f"{CAPTIONS['scan_slice'][language]}: {words}"
    return words if prediction.probability is None else f"{words}{COMMA[language]}{percent(prediction.probability)}"


def finding_line(finding: Finding, prediction: Prediction, language: Language) -> str:
    """One finding in a line: its probability, size, density and place, and what it counts for."""
    judged, size = finding.probability, finding.size
    parts = [
        CAPTIONS["not_judged"][language] if judged is None else f"{CAPTIONS['malignancy'][language]} {percent(judged)}"
    ]
    if size is not None:
        parts += [axes_words(size, prediction), mean_words(size.mean_mm, prediction, language)]
        parts.append(ATTENUATION_WORDS[size.attenuation.classes[0]][language])
    parts.append(place_words(finding, language))
    if finding.suspicion is not None:
        parts.append(SUSPICION_WORDS[finding.suspicion][language])
    return f"{CAPTIONS['finding'][language]} {finding.id}: {COMMA[language].join(parts)}"


def _head(width: int, size: int, prediction: Prediction, findings: Sequence[Finding], language: Language) -> Rgb:
    """The first finding's own probability in the largest type, and beside it the decision on the whole. That alone, and
    larger, where there is no such probability, or where nothing is found that counts."""
    own = findings[0] if findings else None
    if own is None or own.probability is None or (prediction.decision == "normal" and is_faint(own)):
        return _head_of_decision(width, round(ALONE * size), headline(prediction, language))
    large, smaller = round(LARGE * size), round(BESIDE * size)
    first = f"{CAPTIONS['finding'][language]} {own.id}: {percent(own.probability)}"
    left = text_width(first, large) + 3 * MARGIN_PX
    lines = wrapped(headline(prediction, language), smaller, width - left - MARGIN_PX)
    step = round(LINE_HEIGHT * smaller)
    tall = max(round(LINE_HEIGHT * large), len(lines) * step)
    head = np.zeros((MARGIN_PX + tall, width, 3), np.uint8)
    draw_text(head, first, (MARGIN_PX, MARGIN_PX), large, colour_of(own), cased=False)
    for n, line in enumerate(lines):
        draw_text(head, line, (left, MARGIN_PX + tall - (len(lines) - n) * step), smaller, cased=False)
    return head


def _head_of_decision(width: int, size: int, decision: str) -> Rgb:
    step, lines = round(LINE_HEIGHT * size), wrapped(decision, size, width - 2 * MARGIN_PX)
    head = np.zeros((MARGIN_PX + len(lines) * step, width, 3), np.uint8)
    for n, line in enumerate(lines):
        draw_text(head, line, (MARGIN_PX, MARGIN_PX + n * step), size, cased=False)
    return head


def _paragraphs(prediction: Prediction, findings: Sequence[Finding], language: Language) -> list[tuple[str, Colour]]:
    """Findings, why the decision is withheld, and what to bear in mind."""
    if findings:
        listed = [(finding_line(f, prediction, language), colour_of(f)) for f in findings[:MAX_LISTED]]
    else:
        listed = [] if prediction.decision == "rejected" else [(CAPTIONS["none"][language], OUTLINE)]
    if len(findings) > MAX_LISTED:
        listed.append((f"+ {len(findings) - MAX_LISTED} {CAPTIONS['more'][language]}", OUTLINE))
    if prediction.reasons:
        listed.append((_joined(prediction.reasons, language), OUTLINE))
    caveats = dict.fromkeys(
        note.code for note in prediction.quality if note.severity != "info" and note.code not in prediction.reasons
    )
    if caveats and prediction.decision != "rejected":
        listed.append((f"{CAPTIONS['caveats'][language]}: {_joined(caveats, language)}", OUTLINE))
    return listed


def _joined(codes: Iterable[str], language: Language) -> str:
    return "; ".join(reason_words(code, language) for code in codes)


def _draw_colours(panel: Rgb, row: int, size: int, language: Language) -> None:
    """The evidence from 0 to 1 over lung grey, between the words for its ends."""
    title, against, speaks_for = (CAPTIONS[word][language] for word in ("evidence", "against", "for"))
    head = f"{title}: {against}"
    draw_text(panel, head, (MARGIN_PX, row), size, cased=False)
    left = round(MARGIN_PX + text_width(head, size) + MARGIN_PX)
    width = min(8 * size, max(size, panel.shape[1] - left - MARGIN_PX))
    values = np.tile(np.linspace(0, 1, width, dtype=np.float32), (size, 1))
    panel[row : row + size, left : left + width] = blend(np.full(values.shape, BAR_GREY, np.uint8), values)
    draw_text(panel, speaks_for, (left + width + MARGIN_PX, row), size, cased=False)
