"""The shipped classifier measures balls that no network has seen; nothing was chosen on these diameters."""

from __future__ import annotations

import numpy as np
import pytest

from app.cli.models import verified_registry
from app.imaging.ct import CTSlice, SliceSource
from app.inference.diagnose import diagnose
from app.inference.registry import Models
from app.settings import Settings
from phantoms.slices import Disc, chest

SIZE_PX, SPACING_MM, PLACE_PX = 448, 0.8, (133.5, 216.0)
TOLERANCE_MM = 0.6


@pytest.fixture(scope="module")
def models() -> Models:
    registry = verified_registry(Settings())
    registry.load()
    return registry.models()


@pytest.mark.parametrize("hu", [30, -550])
@pytest.mark.parametrize("diameter_mm", [7.0, 9.0, 12.0, 17.0, 26.0, 38.0])
def test_a_ball_is_as_large_as_it_is(models: Models, diameter_mm: float, hu: float) -> None:
    image = chest([Disc(PLACE_PX, diameter_mm, hu)], size_px=SIZE_PX, spacing_mm=SPACING_MM).astype(np.float32)
    ct_slice = CTSlice(image, (SPACING_MM, SPACING_MM), SliceSource("array", SIZE_PX, SIZE_PX))
    prediction = diagnose(ct_slice, PLACE_PX, models.classifier, models.detector, models.second_look)
    (finding,) = prediction.findings
    size = finding.size
    if size is None:
        assert prediction.decision == "rejected"  # a large faint ball is unlike the training data
        return
    assert size.mean_mm.value == pytest.approx(diameter_mm, abs=max(TOLERANCE_MM, 0.08 * diameter_mm))
    assert size.mean_mm.low - 0.3 <= diameter_mm <= size.mean_mm.high + 0.3
    assert size.attenuation.classes[0] == ("solid" if hu > 0 else "non_solid")
    assert (finding.location.side, finding.location.assumed) == ("right", True)
