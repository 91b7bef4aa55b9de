"""Predicted outlines for the report's pictures, from whichever network did not see the nodule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from training.data.nodules import Nodule
from training.evaluation.calibration import sigmoid
from training.fitting.artefacts import NETWORK_FILE
from training.fitting.config import InputConfig
from training.fitting.samples import nodule_view
from training.fitting.train import predict

Masks = list[NDArray[np.float32] | None]


def of_folds(folder: Path, patch: InputConfig, nodules: Sequence[Nodule]) -> Masks:
    """Masks (size, size) 0-1 by each nodule's own fold's network in `folder`; None where there is no such file."""
    masks: Masks = [None] * len(nodules)
    for fold in sorted({n.fold for n in nodules}):
        file = folder / f"fold{fold}" / NETWORK_FILE
        if file.is_file():
            network = keras.saving.load_model(file, compile=False)
            places = [k for k, n in enumerate(nodules) if n.fold == fold]
            said = predict(network, np.stack([nodule_view(nodules[k], patch.patch_spec).hu for k in places])).mask
            for k, mask in zip(places, sigmoid(said).astype(np.float32), strict=True):
                masks[k] = mask
    return masks


def of_graph(
    graph: Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]],
    patch: InputConfig,
    nodules: Sequence[Nodule],
) -> Masks:
    """Masks (size, size) 0-1 by a SavedModel."""
    if not nodules:
        return []
    return list(graph(np.stack([nodule_view(n, patch.patch_spec).hu for n in nodules]))["mask"])
