"""Backends whose answers are arithmetic, and the bundles on disk that go with them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from app.inference.backends import Backend, Outputs
from app.inference.bundle import (
    CARD_FILE,
    MANIFEST_FILE,
    OUTPUT_NAMES,
    EncodedArray,
    GoldenCase,
    InputContract,
    Interval,
    Label,
    Manifest,
    OperatingPoint,
    OutOfDistribution,
    Performance,
    TrainingData,
    Trait,
    bundle_files,
    file_digest,
)
from app.inference.conformal import Conformal
from app.inference.detector import Detector, DetectorManifest, DetectorPerformance, ScoreThreshold
from app.inference.registry import Backends, BundleNames
from app.inference.suspicion import FieldsContract, ScanPoint, ScoreRule, SecondLook, SuspicionManifest
from app.inference.view import ThumbnailContract, ViewManifest, ViewPerformance

SIZE_PX = 48
SPACING_MM = 0.7
FILTER_SIZE_PX = 32
FILTER_SPACING_MM = 0.8
LOOK_SIZE_PX = 16
VIEW_SIZE_PX = 24
LISTED_FROM, OPEN_FROM, SUSPECTED_FROM = -4.0, 1.0, 2.0
THRESHOLD = 0.5
NAMES = BundleNames("nodule-classifier", "nodule-detector", "nodule-suspicion", "chest-view")
TRAITS = ("subtlety", "calcification", "sphericity", "margin", "lobulation", "spiculation", "texture")
CARD = "# Model card: arithmetic\n\nResearch use only.\n"


class Held:
    """A backend whose answers can be held back: `hold` keeps `run` waiting until `release`, to have work at hand.

    `batches` are the sizes of the runs, `loaded_from` the bundle's folder.
    """

    name = "arithmetic"

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.loaded_from: Path | None = None
        self.started = threading.Event()
        self._go = threading.Event()
        self._go.set()

    @staticmethod
    def is_available() -> bool:
        return True

    def hold(self) -> None:
        self.started.clear()
        self._go.clear()

    def release(self) -> None:
        self._go.set()

    def load(self, path: Path) -> None:
        assert path.is_dir()
        self.loaded_from = path

    def run(self, hu: NDArray[np.float32]) -> Outputs:
        self.started.set()
        assert self._go.wait(timeout=30), "released by no one"
        self.batches.append(len(hu))
        return self.answer(hu)

    def answer(self, hu: NDArray[np.float32]) -> Outputs:
        raise NotImplementedError


class ArithmeticBackend(Held):
    """malignancy = (centre HU + 1000) / 2000, so that -1000 HU is 0 and 1000 HU is 1; the n-th trait is n % 5 + 1;
    a nodule is what lies between -700 and 900 HU; the mask is what is denser than -400 HU; the embedding is
    (mean HU / 1000, 0), at a distance of |mean HU| / 1000 from the training data.
    """

    def answer(self, hu: NDArray[np.float32]) -> Outputs:
        images = hu[..., 0]
        middle = SIZE_PX // 2
        centre = images[:, middle - 1 : middle + 1, middle - 1 : middle + 1].mean(axis=(1, 2))
        mask = (images > -400).astype(np.float32)
        mean = images.mean(axis=(1, 2)) / 1000
        return {
            "malignancy": np.clip((centre + 1000) / 2000, 0, 1).astype(np.float32),
            "nodule": ((centre > -700) & (centre < 900)).astype(np.float32),
            "traits": np.tile(np.arange(len(TRAITS), dtype=np.float32) % 5 + 1, (len(hu), 1)),
            "mask": mask,
            "evidence": mask.reshape(-1, 6, 8, 6, 8).mean(axis=(2, 4)),
            "embedding": np.stack([mean, np.zeros_like(mean)], axis=1).astype(np.float32),
        }


class ArithmeticFilter(Held):
    """A filter of candidates: the logit is (centre HU + 550) / 100, so that only what is denser than -550 HU
    passes."""

    def answer(self, hu: NDArray[np.float32]) -> Outputs:
        middle = FILTER_SIZE_PX // 2
        centre = hu[:, middle - 1 : middle + 1, middle - 1 : middle + 1, 0].mean(axis=(1, 2))
        return {"nodule": ((centre + 550) / 100).astype(np.float32)}


class ArithmeticLook(Held):
    """A second look: `suspicious` is centre HU / 100, `nodule` is 0. So a score is a hundredth of the HU: what is
    denser than -400 HU is listed, the decision is open from 100 HU, and cancer is suspected from 200 HU."""

    def answer(self, hu: NDArray[np.float32]) -> Outputs:
        middle = LOOK_SIZE_PX // 2
        centre = hu[:, middle - 1 : middle + 1, middle - 1 : middle + 1, 0].mean(axis=(1, 2))
        return {"suspicious": (centre / 100).astype(np.float32), "nodule": np.zeros(len(hu), np.float32)}


class ArithmeticView(Held):
    """Whether a picture is an axial chest: a logit of 9, it always is."""

    def answer(self, hu: NDArray[np.float32]) -> Outputs:
        return {"axial_chest": np.full(len(hu), 9, np.float32)}


class ArithmeticModels:
    """Any of the four, by what it is asked: their patches differ in size."""

    name = "arithmetic"

    def __init__(self) -> None:
        self._backend, self._filter, self._look = ArithmeticBackend(), ArithmeticFilter(), ArithmeticLook()
        self._view = ArithmeticView()

    @staticmethod
    def is_available() -> bool:
        return True

    def load(self, path: Path) -> None:
        assert path.is_dir()

    def judge(self, hu: NDArray[np.float32]) -> Outputs:
        return self._backend.run(hu)

    def run(self, hu: NDArray[np.float32]) -> Outputs:
        searching = {FILTER_SIZE_PX: self._filter, LOOK_SIZE_PX: self._look, VIEW_SIZE_PX: self._view}.get(hu.shape[1])
        return self.judge(hu) if searching is None else searching.run(hu)


def arithmetic_backends(
    classifier: Backend | None = None, detector: Backend | None = None, second_look: Backend | None = None
) -> Backends:
    """The given backends, and arithmetic ones for the rest."""
    return Backends(
        classifier or ArithmeticBackend(),
        detector or ArithmeticFilter(),
        second_look or ArithmeticLook(),
        ArithmeticView(),
    )


def golden_hu(size_px: int = SIZE_PX) -> NDArray[np.int16]:
    """A disc of 40 HU in lung."""
    along = np.arange(size_px) - (size_px - 1) / 2
    disc = np.hypot(along[:, None], along) < 8
    return np.where(disc, 40, -850).astype(np.int16)


def write_bundle(folder: Path, *, tolerance: float = 1e-3, version: int = 1) -> Path:
    """Write a bundle for ArithmeticBackend under `folder`; returns its path."""
    path = folder / "nodule-classifier" / str(version)
    (path / "variables").mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"arithmetic needs no graph")
    (path / "variables" / "variables.index").write_bytes(b"and no weights")
    (path / CARD_FILE).write_text(CARD, "utf-8")
    own = manifest(path, tolerance).model_copy(update={"version": version})
    (path / MANIFEST_FILE).write_text(own.model_dump_json(indent=1), "utf-8")
    return path


def write_detector(folder: Path) -> Path:
    """Write a bundle for ArithmeticFilter under `folder`; returns its path."""
    return _written(folder / "nodule-detector" / "1", detector_manifest)


def write_second_look(folder: Path, filter_digest: str) -> Path:
    """Write a bundle for ArithmeticLook behind the filter with this digest under `folder`; returns its path."""
    return _written(folder / "nodule-suspicion" / "1", lambda path: look_manifest(path, filter_digest))


def write_view(folder: Path) -> Path:
    """Write a bundle for ArithmeticView under `folder`; returns its path."""
    return _written(folder / "chest-view" / "1", view_manifest)


def _written(path: Path, manifest_of: Callable[[Path], BaseModel]) -> Path:
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"arithmetic needs no graph")
    (path / CARD_FILE).write_text(CARD, "utf-8")
    (path / MANIFEST_FILE).write_text(manifest_of(path).model_dump_json(indent=1), "utf-8")
    return path


def write_models(folder: Path) -> None:
    """Write the four bundles under `folder`."""
    write_bundle(folder)
    detector = write_detector(folder)
    write_second_look(folder, f"sha256:{file_digest(detector / MANIFEST_FILE)}")
    write_view(folder)


def arithmetic_detector(folder: Path) -> Detector:
    """The filter written under `folder`, running."""
    return Detector.load(write_detector(folder), ArithmeticFilter())


def arithmetic_look(folder: Path, detector: Detector) -> SecondLook:
    """The second look written under `folder` for this filter, running."""
    second_look = SecondLook.verified(write_second_look(folder, detector.digest), ArithmeticLook())
    second_look.load()
    return second_look


def look_manifest(path: Path, filter_digest: str) -> SuspicionManifest:
    """A manifest with round points and the digests of the files in `path`."""
    hu = np.stack([golden_hu(LOOK_SIZE_PX), golden_hu(LOOK_SIZE_PX)], axis=-1)
    figure = Interval(value=0.9, low=0.8, high=0.95)
    alarms = Interval(value=0.05, low=0.02, high=0.1)

    def point(per: Literal["slice", "series"]) -> ScanPoint:
        return ScanPoint(
            per=per,
            listed_from=LISTED_FROM,
            open_from=OPEN_FROM,
            suspected_from=SUSPECTED_FROM,
            chosen_for="tests",
            sensitivity=figure,
            false_alarms=alarms,
            scans=3,
            nodules=40,
        )

    outputs = ArithmeticLook().run(hu.astype(np.float32)[None])
    return SuspicionManifest(
        schema_version=1,
        name="nodule-suspicion",
        version=1,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        description="arithmetic instead of a network",
        intended_use="tests",
        input=FieldsContract(size_px=LOOK_SIZE_PX, near_mm=1.0, wide_mm=2.0, clip_hu=(-1000, 400)),
        outputs=("suspicious", "nodule"),
        rule=ScoreRule(suspicious=1.0, nodule=0.5, filter=0.0),
        slice_point=point("slice"),
        series_point=point("series"),
        filter_digest=filter_digest,
        training_data=(
            TrainingData(source="none", licence="none", patients=None, items=0, digest="none", split="none"),
        ),
        performance=DetectorPerformance(
            command="none", protocol="none", plantings=0, patients=0, figures={"sensitivity": figure}
        ),
        golden=GoldenCase(
            description="a disc",
            hu=EncodedArray.encode(hu),
            outputs={name: EncodedArray.encode(outputs[name][0]) for name in ("suspicious", "nodule")},
            tolerance=1e-3,
        ),
        digests={name: file_digest(path / name) for name in bundle_files(path)},
    )


def view_manifest(path: Path) -> ViewManifest:
    """A manifest with the digests of the files in `path`."""
    hu = golden_hu(VIEW_SIZE_PX)
    figure = Interval(value=0.9, low=0.8, high=0.95)
    return ViewManifest(
        schema_version=1,
        name="chest-view",
        version=1,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        description="arithmetic instead of a network",
        intended_use="tests",
        input=ThumbnailContract(size_px=VIEW_SIZE_PX, clip_hu=(-1000, 400)),
        outputs=("axial_chest",),
        rejected_below=0.0,
        doubtful_below=2.0,
        training_data=(
            TrainingData(source="none", licence="none", patients=None, items=0, digest="none", split="none"),
        ),
        performance=ViewPerformance(command="none", protocol="none", figures={"rejected": figure}),
        golden=GoldenCase(
            description="a disc",
            hu=EncodedArray.encode(hu),
            outputs={"axial_chest": EncodedArray.encode(np.array(9, np.float32))},
            tolerance=1e-3,
        ),
        digests={name: file_digest(path / name) for name in bundle_files(path)},
    )


def detector_manifest(path: Path) -> DetectorManifest:
    """A manifest whose thresholds are 0 and whose digests are those of the files in `path`."""
    hu = golden_hu(FILTER_SIZE_PX)
    figure = Interval(value=0.9, low=0.8, high=0.95)

    def threshold(per: Literal["slice", "series"]) -> ScoreThreshold:
        return ScoreThreshold(score=0, per=per, chosen_for="tests", sensitivity=figure, false_positives=figure)

    outputs = ArithmeticFilter().run(hu.astype(np.float32)[None, ..., None])
    return DetectorManifest(
        schema_version=1,
        name="nodule-detector",
        version=1,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        description="arithmetic instead of a network",
        intended_use="tests",
        input=InputContract(size_px=FILTER_SIZE_PX, spacing_mm=FILTER_SPACING_MM, clip_hu=(-1000, 400)),
        outputs=("nodule",),
        slice_threshold=threshold("slice"),
        series_threshold=threshold("series"),
        training_data=(
            TrainingData(source="none", licence="none", patients=None, items=0, digest="none", split="none"),
        ),
        hard_negatives=(),
        performance=DetectorPerformance(
            command="none", protocol="none", plantings=0, patients=0, figures={"recall": figure}
        ),
        golden=GoldenCase(
            description="a disc",
            hu=EncodedArray.encode(hu),
            outputs={"nodule": EncodedArray.encode(outputs["nodule"][0])},
            tolerance=1e-3,
        ),
        digests={name: file_digest(path / name) for name in bundle_files(path)},
    )


def manifest(path: Path, tolerance: float = 1e-3) -> Manifest:
    """A manifest whose figures are round and whose digests are those of the files in `path`."""
    hu = golden_hu()
    outputs = ArithmeticBackend().run(hu.astype(np.float32)[None, ..., None])
    figure = Interval(value=0.9, low=0.8, high=0.95)
    return Manifest(
        schema_version=1,
        name="nodule-classifier",
        version=1,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        description="arithmetic instead of a network",
        intended_use="tests",
        input=InputContract(size_px=SIZE_PX, spacing_mm=SPACING_MM, clip_hu=(-1000, 400)),
        outputs=OUTPUT_NAMES,
        labels=(
            Label(finding="cancer_suspected", snomed_ct="162573006", meaning="Suspected lung cancer"),
            Label(finding="normal", snomed_ct="17621005", meaning="Normal"),
        ),
        traits=tuple(Trait(name=name, scale=(1, 6 if name == "calcification" else 5)) for name in TRAITS),
        nodule_threshold=0.5,
        operating_point=OperatingPoint(threshold=THRESHOLD, chosen_for="tests", sensitivity=figure, specificity=figure),
        conformal=Conformal(coverage=0.9, quantiles={"cancer_suspected": 0.45, "normal": 0.45}),
        out_of_distribution=OutOfDistribution(
            method="mahalanobis",
            mean=EncodedArray.encode(np.zeros(2, np.float32)),
            whitening=EncodedArray.encode(np.eye(2, dtype=np.float32)),
            threshold=0.95,
            accepted=0.99,
        ),
        training_data=(
            TrainingData(source="none", licence="none", patients=None, items=0, digest="none", split="none"),
        ),
        performance=Performance(command="none", protocol="none", nodules=0, patients=0, figures={"auc": figure}),
        golden=GoldenCase(
            description="a disc",
            hu=EncodedArray.encode(hu),
            outputs={name: EncodedArray.encode(outputs[name][0]) for name in OUTPUT_NAMES},
            tolerance=tolerance,
        ),
        digests={name: file_digest(path / name) for name in bundle_files(path)},
    )
