"""A verified bundle on a running backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.errors import BundleError
from app.imaging.ct import CTSlice, SliceSource
from app.imaging.patches import Patch, PatchSpec, extract_patch
from app.inference.backends import Backend, Outputs
from app.inference.backends.tensorflow import TensorFlowBackend
from app.inference.bundle import Bundle, Manifest, load_bundle


@dataclass(frozen=True, slots=True)
class Model:
    """What answers: the bundle says what it is, the backend runs it."""

    bundle: Bundle
    backend: Backend
    # Decoded once: every request needs them, and the manifest holds them as text.
    _mean: NDArray[np.float64] = field(init=False, repr=False, compare=False)
    _whitening: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        statistics = self.manifest.out_of_distribution
        object.__setattr__(self, "_mean", statistics.mean.decode().astype(np.float64))
        object.__setattr__(self, "_whitening", statistics.whitening.decode().T.astype(np.float64))

    @classmethod
    def load(cls, bundle: Bundle, backend: Backend) -> Model:
        """Load the weights and check them against the golden case; raises BundleError when they disagree."""
        backend.load(bundle.path)
        model = cls(bundle, backend)
        model.verify_golden()
        return model

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    @property
    def patch_spec(self) -> PatchSpec:
        """The patch this model takes."""
        return self.manifest.input.patch_spec

    def run(self, patches: list[Patch]) -> Outputs:
        """The outputs for some patches, batch axis first."""
        return self.backend.run(np.stack([patch.hu for patch in patches])[..., None])

    def distance(self, embedding: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N, D) embeddings to (N,) Mahalanobis distances from the training data."""
        return np.asarray(np.linalg.norm((embedding - self._mean) @ self._whitening, axis=1), np.float64)

    def verify_golden(self) -> None:
        """Run the golden case through the path of every request; raises BundleError when an output differs.

        A difference counts relative to outputs above one.
        """
        golden = self.manifest.golden
        outputs = self.run([extract_patch(*self._golden_slice(), self.patch_spec)])
        for name, recorded in golden.outputs.items():
            expected = recorded.decode()
            found = outputs[name][0] if name in outputs else np.empty(0, np.float32)
            if found.shape != expected.shape:
                raise self._disagrees(name, f"shape {found.shape}", f"{expected.shape}")
            difference = float(np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected))))
            if not difference <= golden.tolerance:
                raise self._disagrees(name, f"a difference of {difference:.2g}", f"at most {golden.tolerance:g}")

    def _golden_slice(self) -> tuple[CTSlice, tuple[float, float]]:
        hu = self.manifest.golden.hu.decode()
        spec = self.patch_spec
        source = SliceSource(kind="array", rows=hu.shape[0], columns=hu.shape[1])
        return CTSlice(hu, (spec.spacing_mm, spec.spacing_mm), source), (spec.middle_px, spec.middle_px)

    def _disagrees(self, output: str, found: str, expected: str) -> BundleError:
        return BundleError(
            found=f"{self.bundle.path}: golden case, output {output}: {found}",
            expected=f"{expected} from the values in the manifest",
            remedy=f"The {self.backend.name} runtime does not reproduce this bundle; use another version or backend.",
        )


def create_backend(name: str, threads: int) -> Backend:
    """The backend called `name`; raises BundleError when its runtime is not installed."""
    backends = {TensorFlowBackend.name: TensorFlowBackend}
    chosen = backends.get(name)
    if chosen is None or not chosen.is_available():
        raise BundleError(
            found=f"backend {name!r}, not installed",
            expected=f"one of {sorted(backends)}",
            remedy=f"Install it: pip install 'lungscope[{name}]'.",
        )
    return chosen(threads)


def load_model(path: Path, backend: str, threads: int) -> Model:
    """Verify the bundle in `path`, load it on `backend` and run its golden case; raises BundleError."""
    return Model.load(load_bundle(path), create_backend(backend, threads))
