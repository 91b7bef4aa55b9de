"""The words and colours of the legend can be read by everybody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from app.explain.canvas import load_font
from app.explain.captions import CAPTIONS, SUSPICION_WORDS
from app.explain.legend import headline, millimetres, percent
from app.explain.palette import AGAINST, FOR, blend
from app.imaging.ct import QualityNote
from app.inference.model import Model
from app.inference.prediction import NEUTRAL_EVIDENCE, Series
from app.inference.vocabulary import DECISION_WORDS, TRAIT_WORDS
from tests.explain.planted import plant, point_at

DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
)
NO_GLYPH = "\U0010ffff"


def words() -> Iterator[str]:
    for table in (*DECISION_WORDS.values(), *CAPTIONS.values(), *SUSPICION_WORDS.values()):
        yield from table.values()
    for scales in TRAIT_WORDS.values():
        for scale in scales.values():
            yield from scale
    yield "".join(map(chr, range(0x20, 0x7F))) + "·"


def test_font_has_every_character_that_may_be_drawn() -> None:
    font = load_font(24)
    box = bytes(font.getmask(NO_GLYPH))
    missing = {c for text in words() for c in text if not c.isspace() and bytes(font.getmask(c)) == box}
    assert not missing, "cut the font again: docs/decisions/0009"
    assert bytes(font.getmask("龘")) == box  # what it lacks is noticed


@pytest.mark.parametrize(
    ("probability", "text"), [(0.0, "<1 %"), (0.004, "<1 %"), (0.87, "87 %"), (0.996, ">99 %"), (1.0, ">99 %")]
)
def test_percentages_never_claim_certainty(probability: float, text: str) -> None:
    assert percent(probability) == text


def test_lengths_on_an_assumed_spacing_are_marked(model: Model) -> None:
    prediction = point_at(plant(), model)
    assert millimetres(8.43, prediction) == "8.4 mm"
    rough = replace(prediction, quality=(QualityNote("spacing_assumed", "warning", "…"),))
    assert millimetres(8.43, rough) == "~8.4 mm"


def test_the_decision_of_a_series_is_not_taken_for_that_of_its_slice(model: Model) -> None:
    prediction = point_at(plant(), model)
    assert headline(prediction, "en") == "Suspicious for lung cancer · 80 %"
    of_series = replace(prediction, series=Series(5, 2.5, None, None, ()))
    assert headline(of_series, "en") == "Whole series: Suspicious for lung cancer · 80 %"


def lightness(
    rgb: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """CIE L* of sRGB values 0-255."""
    linear = np.where(rgb / 255 <= 0.04045, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.asarray(np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance))


@pytest.mark.parametrize("grey", [0, 40, 110])
def test_stronger_evidence_looks_stronger(grey: int) -> None:
    values = np.linspace(0, 1, 101, dtype=np.float32)[None]
    rgb = blend(np.full(values.shape, grey, np.uint8), values)[0].astype(np.float64)
    distance = np.linalg.norm(rgb - grey, axis=1)
    middle = 50
    assert (np.diff(distance[middle:]) >= 0).all()
    assert (np.diff(distance[: middle + 1]) <= 0).all()
    assert distance[middle] == 0
    assert (np.diff(lightness(rgb[middle:])) >= -0.2).all()  # towards suspicion it also grows lighter


def test_both_directions_differ_without_red_or_green() -> None:
    """Under deuteranopia (Machado 2009) the two hues stay apart in blue against yellow and in lightness."""
    deuteranopia = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    )
    seen = np.array([FOR, AGAINST]) @ deuteranopia.T
    assert np.linalg.norm(seen[0] - seen[1]) > 150
    assert abs(np.subtract(*lightness(np.clip(seen, 0, 255)))) > 20


def test_neutral_evidence_is_transparent() -> None:
    grey = np.arange(256, dtype=np.uint8)[None]
    rgb = blend(grey, np.full(grey.shape, NEUTRAL_EVIDENCE, np.float32))
    assert (rgb == grey[..., None]).all()
