"""What decides the weights of a candidate filter: its recipe, what it sees, what it goes on from, and its code."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final  # keras is untyped

from app.imaging import patches, planes
from training.detector import fit
from training.detector import samples as detector_samples
from training.detector.config import DetectorConfig
from training.fitting import averaging, samples
from training.fitting.identity import Facts, code_facts, data_digest, recipe_facts

RECIPE: Final = {"seed", "input", "sources", "augment", "positives", "scanner", "mining", "learning"}
CODE: Final = (fit.__file__, detector_samples.__file__, averaging.__file__, samples.__file__)
SERVING_CODE: Final = (patches.__file__, planes.__file__)  # cuts the patches


def filter_facts(seen: fit.TrainingSet, config: DetectorConfig, base: Any = None) -> Facts:
    """Everything that two runs must share to reach the same weights on one machine; `base` is None for the base."""
    return {
        **recipe_facts(config, RECIPE),
        "data": data_digest(seen.dataset),
        "false candidates": blobs_digest(seen),
        "base": "none" if base is None else weights_digest(base),
        **code_facts(map(Path, (*CODE, *SERVING_CODE))),
    }


def blobs_digest(seen: fit.TrainingSet) -> str:
    """sha256 of every false candidate's place, and of the scans they lie in, in order."""
    digest = hashlib.sha256(repr([(b.spacing_mm, b.centre_px) for b in seen.patch_blobs]).encode())
    for blobs in seen.scan_blobs.values():
        digest.update(repr([(b.point, b.plane) for b in blobs]).encode())
        for volume in {id(b.volume): b.volume for b in blobs}.values():
            digest.update(repr(volume.spacing_mm).encode() + volume.hu.tobytes())
    return f"sha256:{digest.hexdigest()[:16]}"


def weights_digest(network: Any) -> str:
    """sha256 of a network's weights, in order."""
    digest = hashlib.sha256()
    for weight in network.get_weights():
        digest.update(weight.tobytes())
    return f"sha256:{digest.hexdigest()[:16]}"
