"""A verified bundle on a running backend."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.errors import SettingsError
from app.imaging.ct import CTSlice, SliceSource
from app.imaging.patches import Patch, PatchSpec, extract_patch
from app.inference.backends import Backend, Outputs
from app.inference.backends.auto import AutoBackend
from app.inference.backends.openvino import OpenVINOBackend
from app.inference.backends.tensorflow import TensorFlowBackend
from app.inference.bundle import Bundle, Manifest
from app.inference.golden import check_golden

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """What answers: the bundle says what it is, the backend runs it.

    `site_threshold` replaces the bundle's operating point where a site has chosen its own; raises ValueError unless
    it lies strictly between 0 and 1.
    """

    bundle: Bundle
    backend: Backend
    site_threshold: float | None = None
    # Decoded once: every request needs them, and the manifest holds them as text.
    _mean: NDArray[np.float32] = field(init=False, repr=False, compare=False)
    _whitening: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.site_threshold is not None and not 0 < self.site_threshold < 1:
            raise ValueError(f"an operating point lies strictly between 0 and 1, not at {self.site_threshold}")
        statistics = self.manifest.out_of_distribution
        object.__setattr__(self, "_mean", statistics.mean.decode().astype(np.float32))
        # Twice as wide it would push the network's own weights out of the cache.
        object.__setattr__(self, "_whitening", np.ascontiguousarray(statistics.whitening.decode().T, np.float32))

    @classmethod
    def load(cls, bundle: Bundle, backend: Backend, site_threshold: float | None = None) -> Model:
        """Load the weights and check them against the golden case; raises BundleError when they disagree."""
        backend.load(bundle.path)
        model = cls(bundle, backend, site_threshold)
        model.verify_golden()
        return model

    @property
    def manifest(self) -> Manifest:
        """The bundle's manifest."""
        return self.bundle.manifest

    @property
    def threshold(self) -> float:
        """The operating point in force: the site's, or else the bundle's."""
        return self.manifest.operating_point.threshold if self.site_threshold is None else self.site_threshold

    @property
    def patch_spec(self) -> PatchSpec:
        """The patch this model takes."""
        return self.manifest.input.patch_spec

    def run(self, patches: list[Patch]) -> Outputs:
        """The outputs for N patches of `patch_spec`, (N, ...) each."""
        return self.backend.run(np.stack([patch.hu for patch in patches])[..., None])

    def distance(self, embedding: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N, D) embeddings to (N,) Mahalanobis distances from the training data."""
        return np.asarray(np.linalg.norm((embedding - self._mean) @ self._whitening, axis=1), np.float64)

    def verify_golden(self) -> None:
        """Run the golden case through the path of every request; raises BundleError when an output differs."""
        outputs = self.run([extract_patch(*self._golden_slice(), self.patch_spec)])
        check_golden(self.manifest.golden, outputs, self.backend.name, self.bundle.path)

    def _golden_slice(self) -> tuple[CTSlice, tuple[float, float]]:
        hu = self.manifest.golden.hu.decode()
        spec = self.patch_spec
        source = SliceSource(kind="array", rows=hu.shape[0], columns=hu.shape[1])
        return CTSlice(hu, (spec.spacing_mm, spec.spacing_mm), source), (spec.middle_px, spec.middle_px)


# In order of preference: the fastest first, the reference last.
BACKENDS: Final[tuple[type[OpenVINOBackend] | type[TensorFlowBackend], ...]] = (OpenVINOBackend, TensorFlowBackend)
AUTO: Final = "auto"


def create_backend(name: str, threads: int) -> Backend:
    """The backend called `name`, or for `auto` the first that will reproduce its bundle; on `threads` threads.

    Raises SettingsError when its runtime, or for `auto` every runtime, is not installed.
    """
    wanted = [backend for backend in BACKENDS if name in (AUTO, backend.name)]
    installed = [backend for backend in wanted if backend.is_available()]
    if not installed:
        raise SettingsError(
            found=f"LUNGSCOPE_BACKEND={name}, which is not installed",
            expected=f"one of {', '.join([AUTO, *(b.name for b in BACKENDS)])}, and its runtime",
            remedy=f"Install it: pip install 'lungscope[{wanted[0].name if wanted else BACKENDS[0].name}]'.",
        )
    if name != AUTO:
        return installed[0](threads)
    for faster in wanted[: wanted.index(installed[0])]:
        logger.warning("%s is not used, it is not installed: pip install 'lungscope[%s]'", faster.name, faster.name)
    return AutoBackend([backend(threads) for backend in installed])
