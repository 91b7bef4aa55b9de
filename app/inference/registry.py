"""The models a process serves: verified at once, loaded and warmed in the background."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from app.errors import ModelLoading
from app.inference.backends import Backend
from app.inference.bundle import Bundle, read_verified
from app.inference.detector import Detector, DetectorManifest
from app.inference.model import Model

Status = Literal["loading", "ready", "failed", "stopping"]


def verify_detector(path: Path, backend: Backend) -> Detector:
    """A detector whose files match its manifest, not yet loaded; raises BundleError naming what differs."""
    manifest, digest = read_verified(path, DetectorManifest)
    return Detector(path, manifest, digest, backend)


class ModelRegistry:
    """Knows both bundles from the start, and the running models once `load` is done.

    `site_threshold` is the operating point where the site has set one.
    """

    def __init__(
        self, bundle: Bundle, backend: Backend, detector: Detector, site_threshold: float | None = None
    ) -> None:
        self.bundle = bundle
        self.detector_bundle = detector
        self.site_threshold = site_threshold
        self.status: Status = "loading"
        self._backend = backend
        self._running: tuple[Model, Detector] | None = None

    @property
    def backend_name(self) -> str:
        """The runtime in use."""
        return self._backend.name

    @property
    def threshold(self) -> float:
        """The operating point in force."""
        own = self.bundle.manifest.operating_point.threshold
        return own if self.site_threshold is None else self.site_threshold

    def load(self) -> None:
        """Load both, run their golden cases and become ready. Blocking; raises BundleError and is `failed` then."""
        try:
            model = Model.load(self.bundle, self._backend, self.site_threshold)
            detector = self.detector_bundle
            detector.backend.load(detector.path)
            detector.verify_golden()
            self._running = model, detector
        except BaseException:
            self.status = "failed"
            raise
        if self.status == "loading":
            self.status = "ready"

    def stop(self) -> None:
        """Say that no new traffic is wanted; requests already here are still answered."""
        self.status = "stopping"

    def model(self) -> Model:
        """The running classifier; raises ModelLoading until there is one."""
        return self._loaded()[0]

    def detector(self) -> Detector:
        """The running filter of candidates; raises ModelLoading until there is one."""
        return self._loaded()[1]

    def _loaded(self) -> tuple[Model, Detector]:
        if self._running is None:
            raise ModelLoading(
                found=f"the model {self.bundle.manifest.name}: {self.status}",
                expected="models that have passed their golden cases",
                remedy="Try again after the seconds in Retry-After; /health/ready says when.",
            )
        return self._running
