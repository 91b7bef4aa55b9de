"""What is drawn on the anatomy: outlines, axes and numbers of findings, and where the patient's sides are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.explain.canvas import Points, Rgb, ToPicture, draw_line, draw_text, text_width
from app.explain.figures import axes_words, percent
from app.explain.palette import FAINT, OUTLINE, Colour
from app.imaging.ct import Orientation, PointMm
from app.inference.prediction import Finding, Prediction

CROSS_PX: Final = 5.0
GAP_PX: Final = 6.0  # between an outline and what is written beside it
MIN_AXIS_PX: Final = 24.0  # of the long axis: a smaller nodule would be hidden by its own measures
EDGE_PX: Final = 4.0  # between the border of a picture and a letter
SIDES: Final = (("L", "R"), ("P", "A"), ("H", "F"))  # towards higher and lower x, y, z (PS3.3 C.7.6.1.1.1)


def is_faint(finding: Finding) -> bool:
    """Whether a finding is a candidate that does not count in the decision."""
    return finding.suspicion == "low"


def colour_of(finding: Finding) -> Colour:
    """Of its lines and words."""
    return FAINT if is_faint(finding) else OUTLINE


def draw_findings(
    rgb: Rgb, findings: Sequence[Finding], to_picture: ToPicture, prediction: Prediction, size_px: int
) -> None:
    """Outline, axes and number of each, those that weigh most on top; in place. Only of one alone does more than its
    number stand beside it: the words of several would lie over one another."""
    alone = len(findings) == 1
    for finding in reversed(findings):
        draw_shape(rgb, finding, to_picture)
        beside = _label_place(finding, to_picture, size_px)
        judged = finding.probability
        label = f"{finding.id}" if not alone or judged is None else f"{finding.id}: {percent(judged)}"
        draw_text(rgb, label, beside, size_px, colour_of(finding))
        if alone and finding.size is not None:
            below = (beside[0], beside[1] + 1.4 * size_px)
            draw_text(rgb, axes_words(finding.size, prediction), below, size_px, colour_of(finding))


def draw_shape(rgb: Rgb, finding: Finding, to_picture: ToPicture) -> None:
    """The outline and, where there is room for them, the axes as they were measured; a cross where there is no outline;
    in place."""
    colour = colour_of(finding)
    if not len(finding.outline_px):
        _draw_cross(rgb, to_picture(np.array([finding.center_px]))[0], colour)
        return
    if finding.size is not None and not is_faint(finding):
        axes = [to_picture(np.array(ends)) for ends in (finding.size.axes.long_px, finding.size.axes.short_px)]
        if np.hypot(*np.ptp(axes[0], axis=0)) >= MIN_AXIS_PX:
            for ends in axes:
                draw_line(rgb, ends, colour=colour)
    draw_line(rgb, to_picture(finding.outline_px), closed=True, colour=colour)


def draw_sides(rgb: Rgb, orientation: Orientation | None, size_px: int, *, row: float = 0.5) -> None:
    """The patient's directions at the left and right border, `row` of the way down; where the image states none, the
    usual ones with a question mark; in place."""
    across, _ = side_letters(orientation)
    _draw_letters(rgb, [(across[0], 0.0, row), (across[1], 1.0, row)], size_px)


def draw_front_and_back(rgb: Rgb, orientation: Orientation | None, size_px: int) -> None:
    """The same at the upper and lower border; in place."""
    _, down = side_letters(orientation)
    _draw_letters(rgb, [(down[0], 0.5, 0.0), (down[1], 0.5, 1.0)], size_px)


def _draw_letters(rgb: Rgb, letters: Sequence[tuple[str, float, float]], size_px: int) -> None:
    rows, columns = rgb.shape[:2]
    for letter, column, row in letters:
        width = text_width(letter, size_px)
        left = EDGE_PX + column * (columns - width - 2 * EDGE_PX)
        top = EDGE_PX + row * (rows - 1.2 * size_px - 2 * EDGE_PX)
        draw_text(rgb, letter, (left, top), size_px)


def side_letters(orientation: Orientation | None) -> tuple[tuple[str, str], tuple[str, str]]:
    """The letters of the left and right, and of the upper and lower border."""
    if orientation is None:
        return ("R?", "L?"), ("A?", "P?")
    return _ends(orientation.row), _ends(orientation.column)


def _ends(cosines: PointMm) -> tuple[str, str]:
    axis = int(np.argmax(np.abs(cosines)))
    towards, away = SIDES[axis] if cosines[axis] > 0 else SIDES[axis][::-1]
    return away, towards


def _label_place(finding: Finding, to_picture: ToPicture, size_px: int) -> tuple[float, float]:
    """Right of the outline, at its upper end."""
    if not len(finding.outline_px):
        column, row = to_picture(np.array([finding.center_px]))[0]
        return float(column) + CROSS_PX + GAP_PX, float(row) - size_px
    outline = to_picture(finding.outline_px)
    return float(outline[:, 0].max()) + GAP_PX, float(outline[:, 1].min()) - size_px


def _draw_cross(rgb: Rgb, at: Points, colour: Colour) -> None:
    across, down = np.array([CROSS_PX, 0.0]), np.array([0.0, CROSS_PX])
    draw_line(rgb, np.array([at - across, at + across, at, at - down, at + down]), colour=colour)
