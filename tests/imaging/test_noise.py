"""Noise and level of soft tissue come out as they were put in, whatever lies around it."""

from __future__ import annotations

import numpy as np
import pytest

from app.imaging.noise import soft_tissue


@pytest.mark.parametrize(("level_hu", "noise_hu"), [(40, 5), (40, 25), (-20, 10), (90, 40)])
def test_noise_and_level_of_soft_tissue(level_hu: float, noise_hu: float) -> None:
    rng = np.random.default_rng(1)
    hu = np.full((512, 512), -850.0, np.float32)
    hu[:, 100:400] = level_hu
    hu[:, 200:220] = 600  # bone: its edges are no noise
    hu += rng.normal(0, noise_hu, hu.shape).astype(np.float32)
    found = soft_tissue(hu)
    assert found is not None
    assert found[0] == pytest.approx(level_hu, abs=3)
    assert found[1] == pytest.approx(noise_hu, rel=0.1)
    whole = soft_tissue(hu.round().astype(np.int16))
    assert whole is not None
    assert whole[0] == pytest.approx(found[0], abs=1)
    assert whole[1] == pytest.approx(found[1], rel=0.15)


def test_an_image_without_soft_tissue_says_nothing() -> None:
    assert soft_tissue(np.full((512, 512), -1000.0, np.float32)) is None
    assert soft_tissue(np.full((4, 4), 40.0, np.float32)) is None
