"""The golden case: what a backend says about a recorded input must be what was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from app.errors import BundleError
from app.inference.backends import Outputs
from app.inference.bundle import GoldenCase


def check_golden(golden: GoldenCase, outputs: Outputs, backend: str, path: Path) -> None:
    """Compare `outputs` (1, ...) of the golden input with the recorded ones; raises BundleError naming the first that
    differs by more than the tolerance. A difference counts relative to outputs above one."""
    for name, recorded in golden.outputs.items():
        expected = recorded.decode()
        found = outputs[name][0] if name in outputs else np.empty(0, np.float32)
        if found.shape != expected.shape:
            raise _disagrees(path, backend, name, f"shape {found.shape}", f"{expected.shape}")
        difference = float(np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected))))
        if not difference <= golden.tolerance:
            raise _disagrees(path, backend, name, f"a difference of {difference:.2g}", f"at most {golden.tolerance:g}")


def _disagrees(path: Path, backend: str, output: str, found: str, expected: str) -> BundleError:
    return BundleError(
        found=f"{path}: golden case, output {output}: {found}",
        expected=f"{expected} from the values in the manifest",
        remedy=f"The {backend} runtime does not reproduce this bundle; use another version or backend.",
    )
