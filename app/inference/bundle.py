"""The model bundle: a SavedModel folder whose `manifest.json` says everything the service must know about it.

The layout (`models/<name>/<integer>/`) is the one TensorFlow Serving, Triton, KServe and OpenVINO read.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.errors import BundleError
from app.imaging.patches import PatchSpec
from app.inference.conformal import Conformal, Finding, Fraction
from app.inference.lineage import Lineage

MANIFEST_FILE = "manifest.json"
CARD_FILE = "MODEL_CARD.md"
OUTPUT_NAMES = ("malignancy", "nodule", "traits", "mask", "evidence", "embedding")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class EncodedArray(_Frozen):
    """A little-endian, C-ordered array as base64 text, so that a manifest stays one readable file."""

    shape: tuple[int, ...]
    dtype: Literal["float32", "int16"]
    base64: str

    @classmethod
    def encode(cls, array: NDArray[np.float32] | NDArray[np.int16]) -> Self:
        """Encode a float32 or int16 array."""
        little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
        text = base64.b64encode(little.tobytes()).decode("ascii")
        return cls.model_validate({"shape": array.shape, "dtype": array.dtype.name, "base64": text})

    def decode(self) -> NDArray[np.float32]:
        """The array as float32; raises ValueError when text and shape disagree."""
        raw = np.frombuffer(base64.b64decode(self.base64, validate=True), np.dtype(self.dtype).newbyteorder("<"))
        return raw.reshape(self.shape).astype(np.float32)


class InputContract(_Frozen):
    """What the graph takes: float32 (N, size_px, size_px, 1) in HU, axial, at `spacing_mm`, centred on the nodule."""

    name: Literal["hu"] = "hu"
    size_px: Annotated[int, Field(ge=16, le=256)]
    spacing_mm: Annotated[float, Field(gt=0.1, le=3)]
    clip_hu: tuple[float, float]

    @property
    def patch_spec(self) -> PatchSpec:
        """The patch that fills this input."""
        return PatchSpec(self.size_px, self.spacing_mm)


class Label(_Frozen):
    """A finding the model can state and its SNOMED CT concept."""

    finding: Finding
    snomed_ct: Annotated[str, Field(pattern=r"^\d{6,18}$")]
    meaning: str


class Trait(_Frozen):
    """One column of the `traits` output: an LIDC rating and the range of its scale."""

    name: str
    scale: tuple[int, int]


class Interval(_Frozen):
    """A measured figure with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


class OperatingPoint(_Frozen):
    """The probability at and above which a nodule is called suspicious, and how it was chosen."""

    threshold: Fraction
    chosen_for: str
    sensitivity: Interval
    specificity: Interval


class OutOfDistribution(_Frozen):
    """Mahalanobis distance of the embedding to the training data (Lee et al. 2018), after whitening:
    score = || whitening @ (embedding - mean) ||; beyond `threshold` the model does not judge."""

    method: Literal["mahalanobis"]
    mean: EncodedArray
    whitening: EncodedArray
    threshold: Annotated[float, Field(gt=0)]
    accepted: Annotated[Fraction, Field(description="fraction of held-out nodules below the threshold")]


class TrainingData(_Frozen):
    """One data set the weights were learned from."""

    source: str
    licence: str
    patients: int | None
    items: int
    digest: str
    split: str


class Performance(_Frozen):
    """Measured figures and the command that measured them."""

    command: str
    protocol: str
    nodules: int
    patients: int
    figures: Mapping[str, Interval]


class GoldenCase(_Frozen):
    """A generated input in int16 HU, (size, size) or (size, size, channels), the outputs recorded for it, and how far
    they may move."""

    description: str
    hu: EncodedArray
    outputs: Mapping[str, EncodedArray]
    tolerance: Annotated[float, Field(gt=0)]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one input as a backend takes it, (size, size, channels)."""
        return self.hu.shape if len(self.hu.shape) > 2 else (*self.hu.shape, 1)

    def batch(self) -> NDArray[np.float32]:
        """The input as a backend takes it, float32 (1, size, size, channels)."""
        return self.hu.decode().reshape(1, *self.input_shape)


class VerifiedManifest(_Frozen):
    """What every bundle's manifest holds. `digests` maps every other file but the card to its sha256."""

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    version: Annotated[int, Field(ge=1)]
    created: AwareDatetime
    description: str
    intended_use: str
    digests: Mapping[str, Sha256]
    lineage: Lineage | None = None


M = TypeVar("M", bound=VerifiedManifest)


class Manifest(VerifiedManifest):
    """`manifest.json` of the nodule classifier."""

    input: InputContract
    outputs: tuple[str, ...]
    labels: tuple[Label, ...]
    traits: tuple[Trait, ...]
    nodule_threshold: Fraction
    # How far an outline runs outside a nodule's edge: readers of LIDC drew outside, and their line is filled in. Of
    # nodule-classifier 1: spheres of 6 to 20 mm on phantoms come out 2.0 to 2.3 mm too wide, at any density.
    outline_rim_mm: Annotated[float, Field(ge=0, le=3)] = 1.1
    operating_point: OperatingPoint
    conformal: Conformal
    out_of_distribution: OutOfDistribution
    training_data: tuple[TrainingData, ...]
    performance: Performance
    golden: GoldenCase

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if missing := set(OUTPUT_NAMES) - set(self.outputs):
            raise ValueError(f"outputs lack {sorted(missing)}")
        if {label.finding for label in self.labels} != {"cancer_suspected", "normal"}:
            raise ValueError("labels must be cancer_suspected and normal")
        size = self.input.size_px
        if self.golden.hu.shape != (size, size):
            raise ValueError(f"the golden input is {self.golden.hu.shape}, the model's input {size} x {size}")
        if missing := set(OUTPUT_NAMES) - set(self.golden.outputs):
            raise ValueError(f"the golden case lacks {sorted(missing)}")
        return self


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk whose files match its manifest; `digest` is the sha256 of the manifest."""

    path: Path
    manifest: Manifest
    digest: str

    @property
    def card(self) -> str:
        """The model card, Markdown."""
        return (self.path / CARD_FILE).read_text("utf-8")


def find_bundle(models_dir: Path, name: str) -> Path:
    """The folder of `name/version`, or of the highest version of `name`; raises BundleError when there is none."""
    name, _, pinned = name.partition("/")
    folder = models_dir / name
    if pinned:
        return _pinned(folder, pinned)
    versions = versions_of(folder)
    if not versions:
        raise BundleError(
            found=f"no bundle under {folder}",
            expected=f"{folder}/<integer>/{MANIFEST_FILE}",
            remedy="Set LUNGSCOPE_MODELS_DIR to the folder that holds the bundles.",
        )
    return folder / str(max(versions))


def versions_of(folder: Path) -> tuple[int, ...]:
    """The versions in the folder of a model, ascending."""
    return tuple(sorted(int(p.name) for p in folder.glob("*") if p.name.isdecimal() and (p / MANIFEST_FILE).is_file()))


def _pinned(folder: Path, version: str) -> Path:
    if not version.isdecimal() or int(version) not in versions_of(folder):
        here = ", ".join(map(str, versions_of(folder))) or "none"
        raise BundleError(
            found=f"no version {version[:20]!r} in {folder}",
            expected=f"one of those that are there: {here}",
            remedy="Name a version that is there, or the model alone for its highest.",
        )
    return folder / str(int(version))


def load_bundle(path: Path) -> Bundle:
    """Read and verify the bundle in `path`; raises BundleError naming the file that differs."""
    manifest, digest = read_verified(path, Manifest)
    return Bundle(path, manifest, digest)


def read_verified(path: Path, contract: type[M]) -> tuple[M, str]:
    """The manifest in `path` under its own `contract` and its digest; raises BundleError naming what differs."""
    try:
        raw = (path / MANIFEST_FILE).read_bytes()
        manifest = contract.model_validate_json(raw)
    except OSError as error:
        raise _broken(
            path / MANIFEST_FILE, f"a file that cannot be read ({error.strerror})", "a readable manifest"
        ) from None
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:3])
        raise _broken(
            path / MANIFEST_FILE, f"a manifest that breaks its contract ({where})", "schema version 1"
        ) from None
    for name, recorded in sorted(manifest.digests.items()):
        _verify(path, name, recorded)
    if unlisted := sorted(bundle_files(path) - set(manifest.digests)):
        raise _broken(path / unlisted[0], "a file the manifest does not list", "only files with a digest")
    return manifest, f"sha256:{hashlib.sha256(raw).hexdigest()}"


class _Digests(BaseModel):
    """What every kind of manifest has in common here."""

    digests: Mapping[str, Sha256]


def require_undamaged(path: Path) -> None:
    """Raise BundleError naming the file of a bundle of any kind that is damaged, or missing."""
    try:
        digests = _Digests.model_validate_json((path / MANIFEST_FILE).read_bytes()).digests
    except (OSError, ValidationError):
        raise _broken(path / MANIFEST_FILE, "no manifest that can be read", "a readable manifest") from None
    for name, recorded in sorted(digests.items()):
        _verify(path, name, recorded)


def bundle_files(path: Path) -> set[str]:
    """Names, relative to `path`, of the files that need a digest: all but the manifest, its signature and the card."""
    names = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
    return names - {MANIFEST_FILE, signature_file(path / MANIFEST_FILE).name, CARD_FILE}


def signature_file(path: Path) -> Path:
    """Where the signature of a file lies."""
    return path.with_name(f"{path.name}.sig")


def file_digest(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _verify(path: Path, name: str, recorded: str) -> None:
    file = path / name
    if not file.resolve().is_relative_to(path.resolve()):
        raise _broken(file, "a path outside the bundle", "files of the bundle")
    if not file.is_file():
        raise _broken(file, "no such file", "the file the manifest lists")
    if (found := file_digest(file)) != recorded:
        raise _broken(file, f"sha256 {found[:12]}…", f"{recorded[:12]}… as recorded in {MANIFEST_FILE}")


def _broken(file: Path, found: str, expected: str) -> BundleError:
    return BundleError(
        found=f"{file}: {found}", expected=expected, remedy="Restore the bundle from its release; nothing was loaded."
    )
