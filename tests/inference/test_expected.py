"""Looking for a nodule where another scan shows one, with models whose answers are arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from app.imaging.volume import CTVolume
from app.inference.backends import Outputs
from app.inference.detector import Detector
from app.inference.expected import WITHIN_MM, nodule_at
from app.inference.model import Model
from app.inference.prediction import Finding
from app.inference.sections import SectionReader
from app.inference.series import diagnose_volume
from app.inference.suspicion import SecondLook
from tests.fakes import ArithmeticFilter
from tests.inference.volumes import PIXEL_MM, chest_volume

LEFT: Final = (70.0, 120.0, 8.0)
DIAMETER_MM: Final = 16.0


class Blind(ArithmeticFilter):
    """A filter that lets nothing pass."""

    def answer(self, hu: NDArray[np.float32]) -> Outputs:
        return {"nodule": np.full(len(hu), -9, np.float32)}


def look(
    volume: CTVolume, models: tuple[Model, Detector, SecondLook], *, column: float = LEFT[0], index: float = LEFT[2]
) -> Finding | None:
    return nodule_at(SectionReader(volume, *models), index, (column, LEFT[1]), DIAMETER_MM)


def searched(volume: CTVolume, models: tuple[Model, Detector, SecondLook]) -> tuple[Finding, ...]:
    return diagnose_volume(volume, *models, lambda *_: None, lambda: False).findings


@pytest.fixture
def models(model: Model, detector: Detector, second_look: SecondLook) -> tuple[Model, Detector, SecondLook]:
    return model, detector, second_look


def test_what_is_seen_by_looking_is_what_the_search_measures(models: tuple[Model, Detector, SecondLook]) -> None:
    volume = chest_volume({LEFT: (DIAMETER_MM, 400.0)})
    (wanted,) = searched(volume, models)
    # On it, and where the lungs alone would say that it lies, some millimetres beside it.
    for column, index in ((LEFT[0], LEFT[2]), (LEFT[0] + 4 / PIXEL_MM, LEFT[2] + 1)):
        seen = look(volume, models, column=column, index=index)
        assert seen is not None
        assert seen.size is not None
        assert wanted.size is not None
        assert seen.size.volume_mm3 is not None
        assert wanted.size.volume_mm3 is not None
        assert seen.size.volume_mm3.value == pytest.approx(wanted.size.volume_mm3.value, rel=0.1)
        assert math.dist(seen.center_px, LEFT[:2]) * PIXEL_MM < WITHIN_MM


def test_what_the_filter_of_the_search_does_not_let_pass_is_seen(models: tuple[Model, Detector, SecondLook]) -> None:
    volume = chest_volume({LEFT: (DIAMETER_MM, 400.0)})
    model, detector, second_look = models
    blind = (model, replace(detector, backend=Blind()), second_look)
    assert not searched(volume, blind)
    seen = look(volume, blind)
    assert seen is not None
    assert seen.size is not None
    assert seen.size.volume_mm3 is not None
    assert seen.size.volume_mm3.value > 1000


def test_where_there_is_none_nothing_is_seen(models: tuple[Model, Detector, SecondLook]) -> None:
    assert look(chest_volume(), models) is None
    beside = chest_volume({(LEFT[0] + 30 / PIXEL_MM, *LEFT[1:]): (8.0, 400.0)})
    assert look(beside, models) is None, "a nodule elsewhere is another one"


def test_from_a_large_nodule_s_place_no_other_is_followed(models: tuple[Model, Detector, SecondLook]) -> None:
    """As long as the large one is, slices far from the place are read too."""
    volume = chest_volume({(*LEFT[:2], 10.0): (8.0, 400.0)})
    reader = SectionReader(volume, *models)
    for index, seen in ((10.0, True), (3.0, False)):
        found = nodule_at(reader, index, LEFT[:2], 40.0)
        assert (found is not None) == seen
