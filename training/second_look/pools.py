"""What one network of the second look may learn from, source by source, and nothing that it must not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.patches import PatchSpec
from app.imaging.planes import PLANES
from training.data.development import LUNA_SPACING_MM
from training.data.nodules import INDETERMINATE, Dataset, Nodule
from training.data.scans import Scan
from training.detector.samples import patch_blobs
from training.second_look.chest import ChestSlice
from training.second_look.config import LabelsConfig, LookConfig, LookScanConfig, NetworkConfig
from training.second_look.false_findings import FalseFinding, lesion_points
from training.second_look.samples import UNLIMITED_MM, Label, Place, Sample, mirrored_cut, section_place

NOTHING: Final = Label(0.0, 0.0)
SUSPICIOUS: Final = Label(1.0, 1.0)

Ask = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # the filter: (N, size, size) HU to (N,) logits


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """Everything there is: patches, scans and slices with their false findings."""

    dataset: Dataset
    scans: Mapping[str, Scan]
    false_in_scans: Mapping[str, Sequence[FalseFinding]]
    chest_slices: Sequence[ChestSlice]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingSet:
    """What one network learns from: samples by source, and whose they are."""

    dataset: Dataset
    scans: tuple[str, ...]
    chest_patients: frozenset[str]
    pools: Mapping[str, tuple[Sample, ...]]


def training_set(
    sources: Sources, network: NetworkConfig, config: LookConfig, ask: Ask, spec: PatchSpec
) -> TrainingSet:
    """The folds, scans and slices that a network may see. `ask` and `spec` are the filter's: what it lets pass is
    drawn more often."""
    inside = _visible(sources.dataset, network)
    scans = tuple(name for name in config.scans if name not in network.held_out_scans)
    chest = [s for s in sources.chest_slices if s.part != network.held_out_part]
    lidc_blobs = _lidc_blobs(inside, config, ask, spec)
    in_scans = [s for n in scans for s in _scan_blobs(sources.scans[n], sources.false_in_scans[n], config)]
    on_slices = [sample for chest_slice in chest for sample in chest_slice.negatives]
    pools = {
        **_nodules(inside, config.labels),
        **_luna(inside),
        "lidc_blobs": lidc_blobs,
        "domes": tuple(replace(sample, dome=True, often=1.0) for sample in lidc_blobs),
        "scan_lesions": tuple(s for n in scans for s in _scan_lesions(sources.scans[n], config.scans[n])),
        "scan_blobs": tuple(sample for sample in in_scans if sample.place.zoom == 1),
        "large_blobs": tuple(sample for sample in (*in_scans, *on_slices) if sample.place.zoom > 1),
        "chest_masses": tuple(sample for chest_slice in chest for sample in chest_slice.masses),
        "chest_blobs": tuple(sample for sample in on_slices if sample.place.zoom == 1),
    }
    return TrainingSet(inside, scans, frozenset(s.patient for s in chest), pools)


def _visible(dataset: Dataset, network: NetworkConfig) -> Dataset:
    folds = set(dataset.folds) - set(network.held_out_folds)
    return Dataset(
        tuple(n for n in dataset.nodules if n.fold in folds),
        tuple(c for c in dataset.candidates if c.fold in folds),
        dataset.digests,
    )


def _nodules(dataset: Dataset, labels: LabelsConfig) -> dict[str, tuple[Sample, ...]]:
    samples = [_nodule(n, labels) for n in dataset.nodules]
    return {
        "suspicious": tuple(s for s in samples if s.label.suspicious),
        "other_nodules": tuple(s for s in samples if not s.label.suspicious),
    }


def _nodule(nodule: Nodule, labels: LabelsConfig) -> Sample:
    """Suspicious above a median of 3, not below; at 3 it only teaches what a nodule is."""
    median = nodule.median_malignancy
    label = Label(float(median > INDETERMINATE), 1.0, float(median != INDETERMINATE))
    often = labels.by_readers[min(nodule.readers, len(labels.by_readers)) - 1]
    often *= labels.small if nodule.diameter_mm < labels.small_mm else 1.0
    return Sample(_in_patch(nodule), label, float(np.nan_to_num(nodule.diameter_mm)) / 2, often)


def _in_patch(nodule: Nodule) -> Place:
    rows, columns = nodule.hu.shape
    spacing_mm = (nodule.spacing_mm, nodule.spacing_mm)
    return Place(nodule.hu, spacing_mm, (float(columns // 2), float(rows // 2)))


def nodule_place(nodule: Nodule) -> Place:
    """The middle of a nodule's own patch, its wall included."""
    return _in_patch(nodule)


def _luna(dataset: Dataset) -> dict[str, tuple[Sample, ...]]:
    """Nodules of LUNA16 have no ratings: they say nothing about suspicion."""
    spacing_mm, found = (LUNA_SPACING_MM, LUNA_SPACING_MM), {True: Label(0.0, 1.0, 0.0), False: NOTHING}
    samples = [
        (c.is_nodule, Sample(Place(c.hu, spacing_mm, (c.hu.shape[1] // 2, c.hu.shape[0] // 2)), found[c.is_nodule]))
        for c in dataset.candidates
    ]
    return {
        "luna_nodules": tuple(sample for is_nodule, sample in samples if is_nodule),
        "luna_negatives": tuple(sample for is_nodule, sample in samples if not is_nodule),
    }


def _lidc_blobs(dataset: Dataset, config: LookConfig, ask: Ask, spec: PatchSpec) -> tuple[Sample, ...]:
    mining = config.mining
    margin = PatchSpec(1, mining.margin_mm * 2 / 0.75)  # patch_blobs keeps three quarters of half a patch clear
    places = [
        Place(b.hu, (b.spacing_mm, b.spacing_mm), b.centre_px)
        for n in dataset.nodules
        for b in patch_blobs(n, mining.clearance_mm, margin)
    ]
    return drawn_by_score(places, filter_scores(places, ask, spec), config)


def filter_scores(places: Sequence[Place], ask: Ask, spec: PatchSpec) -> NDArray[np.float32]:
    """What the filter says of each place, (N,) logits; large ones are seen coarser by it, too."""
    if not places:
        return np.zeros(0, np.float32)
    specs = [PatchSpec(spec.size_px, spec.spacing_mm * place.zoom) for place in places]
    return ask(np.stack([mirrored_cut(place, s, UNLIMITED_MM) for place, s in zip(places, specs, strict=True)]))


def drawn_by_score(places: Sequence[Place], scores: NDArray[np.float32], config: LookConfig) -> tuple[Sample, ...]:
    """False findings; those that the filter takes for nodules are drawn more often."""
    mining = config.mining
    often = np.where(scores > mining.easy_below, 1.0, mining.easy).tolist()
    return tuple(Sample(place, NOTHING, often=each) for place, each in zip(places, often, strict=True))


def _scan_lesions(scan: Scan, config: LookScanConfig) -> list[Sample]:
    return [
        Sample(section_place(scan.volume, point, plane, zoom), SUSPICIOUS, radius_mm)
        for lesion in config.lesions
        for point, radius_mm, zoom in lesion_points(scan.volume, lesion)
        for plane in PLANES
    ]


def _scan_blobs(scan: Scan, found: Sequence[FalseFinding], config: LookConfig) -> list[Sample]:
    """Every false finding in every plane."""
    places = [section_place(scan.volume, f.point, plane, f.zoom) for f in found for plane in PLANES]
    scores = np.repeat(np.array([f.filter_score for f in found], np.float32), len(PLANES))
    return list(drawn_by_score(places, scores, config))
