"""Statistics of the training nodules' embeddings and places."""

from __future__ import annotations

import numpy as np
import pytest

from training.fitting.whitening import fit_whitening, local_scale


def test_whitening_makes_each_direction_count_alike() -> None:
    values = np.random.default_rng(2).normal(0, 1, (5000, 3)).astype(np.float32) * np.array([1, 10, 0.1], np.float32)
    fitted = fit_whitening(values, 0.0)
    np.testing.assert_allclose(fitted.distance(fitted.mean + np.array([[0, 30, 0]], np.float32)), [3], rtol=0.05)
    assert np.median(fitted.distance(values)) == pytest.approx(1.54, abs=0.05)  # chi with 3 degrees of freedom


def test_whitening_survives_a_direction_without_variance() -> None:
    values = np.zeros((10, 2), np.float32)
    values[:, 0] = np.arange(10)
    assert np.isfinite(fit_whitening(values, 0.05).distance(np.array([[0, 1]], np.float32))).all()


def test_local_scale_never_magnifies() -> None:
    assert local_scale(np.full(10, 0.1)) == 1.0
    assert local_scale(np.array([[1.0, -60.0]])) == 10.0


def test_shrinkage_gives_every_direction_a_share_of_the_mean_variance() -> None:
    values = np.zeros((1001, 2), np.float32)
    values[:, 0] = np.linspace(-3, 3, 1001)
    variance = float(np.var(values[:, 0], ddof=1))
    fitted = fit_whitening(values + np.float32(7), 0.5)
    # Half of each direction's own variance and half of their mean, which is half of the first.
    wanted = np.sqrt([1 / (0.75 * variance), 1 / (0.25 * variance)])
    np.testing.assert_allclose(fitted.distance(np.array([[8, 7], [7, 8]], np.float32)), wanted, rtol=1e-4)
