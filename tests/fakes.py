"""A backend whose answers are arithmetic, and a bundle on disk that goes with it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.inference.backends import Outputs
from app.inference.bundle import (
    CARD_FILE,
    MANIFEST_FILE,
    OUTPUT_NAMES,
    Conformal,
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

SIZE_PX = 48
SPACING_MM = 0.7
THRESHOLD = 0.5
TRAITS = ("subtlety", "calcification", "sphericity", "margin", "lobulation", "spiculation", "texture")
CARD = "# Model card: arithmetic\n\nResearch use only.\n"


class ArithmeticBackend:
    """malignancy = (centre HU + 1000) / 2000, so that -1000 HU is 0 and 1000 HU is 1; the n-th trait is n % 5 + 1;
    a nodule is what lies between -700 and 900 HU; the mask is what is denser than -400 HU; the embedding is
    (mean HU / 1000, 0), at a distance of |mean HU| / 1000 from the training data.

    `hold` keeps `run` waiting until `release`, to have a request at work.
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
        self.loaded_from = path

    def run(self, hu: NDArray[np.float32]) -> Outputs:
        self.started.set()
        assert self._go.wait(timeout=30), "released by no one"
        self.batches.append(len(hu))
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


def golden_hu() -> NDArray[np.int16]:
    """A disc of 40 HU in lung."""
    along = np.arange(SIZE_PX) - (SIZE_PX - 1) / 2
    disc = np.hypot(along[:, None], along) < 8
    return np.where(disc, 40, -850).astype(np.int16)


def write_bundle(folder: Path, *, tolerance: float = 1e-3) -> Path:
    """Write a bundle for ArithmeticBackend under `folder`; returns its path."""
    path = folder / "nodule-classifier" / "1"
    (path / "variables").mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"arithmetic needs no graph")
    (path / "variables" / "variables.index").write_bytes(b"and no weights")
    (path / CARD_FILE).write_text(CARD, "utf-8")
    (path / MANIFEST_FILE).write_text(manifest(path, tolerance).model_dump_json(indent=1), "utf-8")
    return path


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
            Label(finding="cancer_suspected", snomed_ct="93880001", meaning="Primary malignant neoplasm of lung"),
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
