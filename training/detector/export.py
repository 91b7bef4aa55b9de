"""Writes the candidate filter's bundle: SavedModel, manifest, golden case and card."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final  # keras and tensorflow are untyped

import numpy as np
from keras import ops

from app.inference.bundle import (
    GoldenCase,
    InputContract,
    Interval,
    TrainingData,
)
from app.inference.detector import OUTPUT, DetectorManifest, DetectorPerformance, HardNegatives
from training.data.nodules import DatasetMalformed
from training.detector.artefacts import FilterRun
from training.detector.card import write_detector_card
from training.detector.identity import weights_digest
from training.detector.report import DetectorResults
from training.reporting.bundles import Identity, golden_case, identity_of, run_graph, save_signature, write_bundle
from training.reporting.export import GOLDEN_NODULE, LIDC, LUNA
from training.reporting.phantom import lung_phantom

INTENDED_USE: Final = (
    "Research on finding lung nodules: it decides which blobs of a lung CT are shown to the nodule classifier. Not a "
    "medical device; no diagnosis, treatment or screening decision may rest on it."
)


def export_detector(
    network: Any, run: FilterRun, results: DetectorResults, folder: Path, *, force: bool = False
) -> DetectorManifest:
    """`write_bundle` of the candidate filter. Raises DatasetMalformed when `results` are of other weights."""
    if (measured := results.networks.get(run.name)) != (found := weights_digest(network)):
        raise DatasetMalformed(
            found=f"figures of weights {measured}",
            expected=f"those of {run.name}, {found}",
            remedy="Run benchmarks/planted.py on these networks first.",
        )

    def fill(part: Path) -> DetectorManifest:
        _save_graph(network, run.config.input.size_px, part)
        return _manifest(network, run, results, _golden(part, run), identity_of(folder, part))

    return write_bundle(folder, fill, lambda path, manifest: write_detector_card(path, manifest, results), force=force)


def _save_graph(network: Any, size: int, folder: Path) -> None:
    def logit(hu: Any) -> dict[str, Any]:
        return {OUTPUT: ops.squeeze(network(hu, training=False), -1)}

    save_signature(folder, logit, (size, size, 1), "hu", network)


def _manifest(
    network: Any, run: FilterRun, results: DetectorResults, golden: GoldenCase, identity: Identity
) -> DetectorManifest:
    config = run.config
    return DetectorManifest(
        **identity,
        description=(
            f"CNN of {network.count_params():,} parameters. nodule is a logit: more is more like a nodule. On a slice "
            "it is that of the axial patch, in a series the sum of those of the axial, coronal and sagittal patch. On "
            "a slice the nodule classifier is heard as well."
        ),
        intended_use=INTENDED_USE,
        input=InputContract(
            size_px=config.input.size_px, spacing_mm=config.input.spacing_mm, clip_hu=config.input.clip_hu
        ),
        outputs=(OUTPUT,),
        slice_threshold=results.slice_threshold,
        series_threshold=results.series_threshold,
        second_reader=results.second_reader,
        training_data=_training_data(run),
        hard_negatives=_hard_negatives(run),
        performance=DetectorPerformance(
            command=results.command,
            protocol=results.protocol,
            plantings=results.plantings,
            patients=results.patients,
            figures=_figures(results),
        ),
        golden=golden,
    )


def _training_data(run: FilterRun) -> tuple[TrainingData, ...]:
    known = {"lidc-nodules": (*LIDC, run.patients, run.nodules), "luna-candidates": (*LUNA, None, run.luna_candidates)}
    held_out = run.config.filters[run.name].held_out_folds
    listed = " and ".join(map(str, held_out))
    split = f"without folds {listed}" if held_out else "all folds; figures from filters trained without some"
    return tuple(
        TrainingData(source=source, licence=licence, patients=patients, items=items, digest=run.data[name], split=split)
        for name, (source, licence, patients, items) in known.items()
        if name in run.data
    )


def _hard_negatives(run: FilterRun) -> tuple[HardNegatives, ...]:
    share = run.config.sources.scan_blobs / run.config.sources.size
    total = sum(run.scan_blobs.values())
    return tuple(HardNegatives(series=s, patches=n, share=share * n / total) for s, n in run.scan_blobs.items())


def _figures(results: DetectorResults) -> dict[str, Interval]:
    return {
        f"{band.name}_{kind}_at_{rate}_per_slice": figure
        for band in results.bands
        for kind, by_rate in (("planted", band.sensitivity), ("native", band.native))
        for rate, figure in by_rate.items()
    }


def _golden(folder: Path, run: FilterRun) -> GoldenCase:
    hu = lung_phantom(run.config.input.patch_spec)
    return golden_case(GOLDEN_NODULE, hu, run_graph(folder, hu.astype(np.float32)[None]))
