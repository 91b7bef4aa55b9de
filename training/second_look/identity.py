"""What decides the weights of a second look: its recipe, what it sees, and its code."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import numpy as np

from app.imaging import patches
from training.detector import samples as detector_samples
from training.fitting import averaging, fit_loop
from training.fitting import samples as fitting_samples
from training.fitting.identity import Facts, code_facts, data_digest, recipe_facts
from training.second_look import fit, samples
from training.second_look.config import LookConfig
from training.second_look.pools import TrainingSet
from training.second_look.samples import Sample

RECIPE: Final = {"seed", "input", "sources", "augment", "edges", "domes", "labels", "scanner", "mining", "learning"}
CODE: Final = (
    fit.__file__,
    samples.__file__,
    detector_samples.__file__,
    averaging.__file__,
    fit_loop.__file__,
    fitting_samples.__file__,
)
SERVING_CODE: Final = (patches.__file__,)  # cuts the patches


def look_facts(seen: TrainingSet, config: LookConfig) -> Facts:
    """Everything that two runs must share to reach the same weights on one machine."""
    return {
        **recipe_facts(config, RECIPE),
        "data": data_digest(seen.dataset),
        **{f"source {name}": pool_digest(pool) for name, pool in seen.pools.items()},
        **code_facts(map(Path, (*CODE, *SERVING_CODE))),
    }


def pool_digest(pool: tuple[Sample, ...]) -> str:
    """sha256 of every sample's place, label and weight, and of the pictures they lie in, in order."""
    digest, hashed = hashlib.sha256(), set[tuple[int, tuple[int, ...]]]()
    for sample in pool:
        place = sample.place
        digest.update(repr((place.spacing_mm, place.centre_px, place.zoom)).encode())
        digest.update(repr((sample.label, sample.radius_mm, sample.often)).encode())
        picture = (place.section.__array_interface__["data"][0], place.section.strides)
        if picture not in hashed:
            hashed.add(picture)
            digest.update(np.ascontiguousarray(place.section).tobytes())
    return f"sha256:{digest.hexdigest()[:16]}"
