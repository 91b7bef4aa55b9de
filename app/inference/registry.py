"""The models a process serves: verified at once, loaded and warmed in the background."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from app.errors import ModelLoading
from app.inference.backends import Backend
from app.inference.bundle import Bundle, load_bundle, read_verified
from app.inference.detector import Detector, DetectorManifest
from app.inference.model import Model, create_backend
from app.inference.signatures import find_signed
from app.inference.suspicion import SecondLook
from app.inference.unserved import UnservedBundles
from app.inference.view import ViewCheck

Status = Literal["loading", "ready", "failed", "stopping"]


@dataclass(frozen=True, slots=True)
class Backends:
    """A runtime for each bundle: networks are small, and one held by another's work would be waited for."""

    classifier: Backend
    detector: Backend
    second_look: Backend
    view: Backend

    @classmethod
    def create(cls, name: str, threads: int) -> Backends:
        """One each of the runtime called `name` (`create_backend`); raises SettingsError."""
        return cls(*(create_backend(name, threads) for _ in range(4)))


@dataclass(frozen=True, slots=True)
class BundleNames:
    """What the bundles under a folder are called."""

    classifier: str
    detector: str
    second_look: str
    view: str


def verify_detector(path: Path, backend: Backend) -> Detector:
    """A detector whose files match its manifest, not yet loaded; raises BundleError naming what differs."""
    manifest, digest = read_verified(path, DetectorManifest)
    return Detector(path, manifest, digest, backend)


@dataclass(frozen=True, slots=True)
class Models:
    """What judges: the classifier, the filter of candidates, the second look at what passes it, and the check whether
    there is a chest to be searched."""

    classifier: Model
    detector: Detector
    second_look: SecondLook
    view: ViewCheck


def pinned_name(path: Path) -> str:
    """The name by which a setting pins the bundle in `path`."""
    return f"{path.parent.name}/{path.name}"


class ModelRegistry:
    """Knows the four bundles from the start, and the running models once `load` is done.

    `site_threshold` is the classifier's operating point where the site has set one. Raises BundleError where
    `second_look` was measured behind another filter than `detector`.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: Backend,
        detector: Detector,
        second_look: SecondLook,
        view: ViewCheck,
        site_threshold: float | None = None,
    ) -> None:
        second_look.require_filter(detector.digest)
        self.bundle = bundle
        self.detector_bundle = detector
        self.second_look_bundle = second_look
        self.view_bundle = view
        self.site_threshold = site_threshold
        self.status: Status = "loading"
        self.unserved = UnservedBundles([each.path for each in (bundle, detector, second_look, view)])
        self._backend = backend
        self._running: Models | None = None

    @classmethod
    def verified(
        cls,
        models_dir: Path,
        names: BundleNames,
        backends: Backends,
        site_threshold: float | None = None,
        trusted_key: Path | None = None,
    ) -> ModelRegistry:
        """The highest versions under a folder, verified and not loaded; raises BundleError naming what differs.

        With a `trusted_key` each must be signed by it.
        """

        def found(name: str) -> Path:
            return find_signed(models_dir, name, trusted_key)

        bundle = load_bundle(found(names.classifier))
        detector = verify_detector(found(names.detector), backends.detector)
        second_look = SecondLook.verified(found(names.second_look), backends.second_look)
        view = ViewCheck.verified(found(names.view), backends.view)
        return cls(bundle, backends.classifier, detector, second_look, view, site_threshold)

    @property
    def bundles(self) -> tuple[Bundle, Detector, SecondLook]:
        """Those that an answer names, with their manifests."""
        return self.bundle, self.detector_bundle, self.second_look_bundle

    @property
    def backend(self) -> Backend:
        """The classifier's runtime."""
        return self._backend

    @property
    def backend_name(self) -> str:
        """The runtime in use."""
        return self._backend.name

    @property
    def threshold(self) -> float:
        """The operating point in force."""
        own = self.bundle.manifest.operating_point.threshold
        return own if self.site_threshold is None else self.site_threshold

    def pinned_names(self) -> BundleNames:
        """The bundles' names with their versions."""
        four = (self.bundle, self.detector_bundle, self.second_look_bundle, self.view_bundle)
        return BundleNames(*(pinned_name(each.path) for each in four))

    def load(self) -> None:
        """Load all, run their golden cases and become ready. Blocking; raises BundleError and is `failed` then."""
        try:
            model = Model.load(self.bundle, self._backend, self.site_threshold)
            detector = self.detector_bundle
            detector.backend.load(detector.path)
            detector.verify_golden()
            self.second_look_bundle.load()
            self.view_bundle.load()
            self._running = Models(model, detector, self.second_look_bundle, self.view_bundle)
        except BaseException:
            self.status = "failed"
            raise
        if self.status == "loading":
            self.status = "ready"

    def exchange(self, model: Model) -> Model:
        """Have another classifier, which is loaded, judge from now on; returns the one before, which finishes what it
        has begun. Raises ModelLoading until there are models."""
        running = self.models()
        self._running = replace(running, classifier=model)
        self.bundle, self._backend = model.bundle, model.backend
        served = (model.bundle, self.detector_bundle, self.second_look_bundle, self.view_bundle)
        self.unserved = UnservedBundles([each.path for each in served])
        return running.classifier

    def stop(self) -> None:
        """Say that no new traffic is wanted; requests already here are still answered."""
        self.status = "stopping"

    def models(self) -> Models:
        """The running models; raises ModelLoading until there are any."""
        if self._running is None:
            raise ModelLoading(
                found=f"the model {self.bundle.manifest.name}: {self.status}",
                expected="models that have passed their golden cases",
                remedy="Try again after the seconds in Retry-After; /health/ready says when.",
            )
        return self._running
