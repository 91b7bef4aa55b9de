"""The evidence map comes from what the network learned: with weights that know nothing it is another map.

The check is that of Adebayo et al. 2018 (arXiv 1810.03292): a map that stays as it is draws edges, not reasons.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from app.inference.bundle import find_bundle, load_bundle
from benchmarks.serving.service import MODELS
from training.evaluation.metrics import spearman
from training.reporting.bundles import SIGNATURE
from training.reporting.phantom import lung_phantom

SIZES_MM = (6.0, 10.0, 18.0)
ALIKE = 0.5  # mean rank correlation of two maps of one image
SHUFFLES = 8


def test_without_its_weights_the_network_draws_another_map() -> None:
    """Any network sees a ball where there is one, so that a single map without weights may look alike, or opposite."""
    bundle = load_bundle(find_bundle(MODELS, "nodule-classifier"))
    model = tf.saved_model.load(str(bundle.path))
    hu = np.stack([lung_phantom(bundle.manifest.input.patch_spec, diameter_mm=mm) for mm in SIZES_MM])
    learned, alike = evidence(model, hu), []
    for seed in range(SHUFFLES):
        shuffle(model, seed)
        maps = evidence(model, hu)
        alike.append([spearman(one.ravel(), other.ravel()) for one, other in zip(learned, maps, strict=True)])
    assert np.mean(alike) < ALIKE
    assert np.ptp(maps) < np.ptp(learned)


def evidence(model: Any, hu: NDArray[np.int16]) -> NDArray[np.float64]:
    said = model.signatures[SIGNATURE](hu=tf.constant(hu[..., None].astype(np.float32)))
    return np.asarray(said["evidence"], np.float64)


def shuffle(model: Any, seed: int) -> None:
    """The same numbers in every array, in any order."""
    rng = np.random.default_rng(seed)
    for variable in model.signatures[SIGNATURE].variables:
        if variable.dtype.is_floating:
            variable.assign(rng.permuted(np.asarray(variable).ravel()).reshape(variable.shape))
