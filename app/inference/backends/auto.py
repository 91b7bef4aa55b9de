"""The first runtime, in order of speed, that reproduces the bundle it is given."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from app.errors import BundleError
from app.inference.backends import Backend, Outputs
from app.inference.bundle import MANIFEST_FILE, GoldenCase
from app.inference.golden import check_golden

logger = logging.getLogger(__name__)


class AutoBackend:
    """Chooses when it loads: the first of `candidates` that passes the golden case, whose `name` it then bears."""

    def __init__(self, candidates: Sequence[Backend]) -> None:
        self.name = "auto"
        self._candidates = candidates
        self._chosen: Backend | None = None

    @staticmethod
    def is_available() -> bool:
        """Always: the candidates are those installed."""
        return True

    def load(self, path: Path) -> None:
        """Load the bundle in `path` on the first candidate that reproduces it, and log why others were passed over.

        Raises the last candidate's BundleError when none does.
        """
        golden = _read_golden(path)
        *preferred, last = self._candidates
        for candidate in preferred:
            try:
                _load_verified(candidate, path, golden)
            # A runtime may fail in ways of its own on a bundle or a machine that it was not made for.
            except (BundleError, RuntimeError) as error:
                logger.warning("%s is not used for %s, the next is tried: %s", candidate.name, path, error)
            else:
                self._choose(candidate)
                return
        _load_verified(last, path, golden)
        self._choose(last)

    def run(self, hu: NDArray[np.float32]) -> Outputs:
        """float32 (N, size, size, channels) in HU to the outputs in the manifest, batch axis first. Thread-safe."""
        if self._chosen is None:
            raise RuntimeError("run before load")
        return self._chosen.run(hu)

    def _choose(self, backend: Backend) -> None:
        self._chosen, self.name = backend, backend.name


class _GoldenPart(BaseModel):
    """What every kind of manifest has in common here."""

    golden: GoldenCase


def _read_golden(path: Path) -> GoldenCase:
    try:
        return _GoldenPart.model_validate_json((path / MANIFEST_FILE).read_bytes()).golden
    except (OSError, ValidationError) as error:
        raise BundleError(
            found=f"{path / MANIFEST_FILE}: no golden case that can be read",
            expected="a recorded input and its outputs, by which a runtime is chosen",
            remedy="Restore the bundle from its release; nothing was loaded.",
        ) from error


def _load_verified(backend: Backend, path: Path, golden: GoldenCase) -> None:
    backend.load(path)
    check_golden(golden, backend.run(golden.batch()), backend.name, path)
