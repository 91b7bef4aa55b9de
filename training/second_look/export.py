"""Writes the second look's bundle: SavedModel, manifest, golden case and card."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final  # keras and tensorflow are untyped

import numpy as np
from keras import ops
from numpy.typing import NDArray

from app.imaging.patches import PatchSpec
from app.inference.bundle import (
    GoldenCase,
    TrainingData,
)
from app.inference.detector import DetectorPerformance
from app.inference.suspicion import OUTPUTS, FieldsContract, SuspicionManifest
from training.data.nodules import DatasetMalformed
from training.reporting.bundles import (
    Identity,
    golden_case,
    identity_of,
    load_signature,
    save_signature,
    write_bundle,
)
from training.reporting.export import GOLDEN_NODULE, LIDC, LUNA
from training.reporting.phantom import lung_phantom
from training.second_look.artefacts import LookRun
from training.second_look.card import write_look_card
from training.second_look.report import LookResults
from training.second_look.samples import Place, fields_at

INTENDED_USE: Final = (
    "Research on what a search of a chest CT found: whether a finding is a suspicious nodule or mass rather than a "
    "vessel, scar, infection or benign nodule. It decides for the slice or series as a whole, beside the nodule "
    "classifier. Not a medical device; no diagnosis, treatment or screening decision may rest on it."
)
TCGA: Final = "TCGA-LUAD and TCGA-LUSC, single slices, TCIA"
TERMS: Final = "CC BY 3.0"
PHANTOM_PX: Final = 96
PHANTOM_MM: Final = 0.6


def export_second_look(
    network: Any, run: LookRun, results: LookResults, folder: Path, *, force: bool = False
) -> SuspicionManifest:
    """`write_bundle` of the second look. Raises DatasetMalformed when `results` were measured with other weights or
    behind another filter."""
    measured = (results.networks.get(run.name), results.filter_digest)
    if measured != (run.weights, run.filter_digest):
        raise DatasetMalformed(
            found=f"figures of weights {measured[0]} behind the filter {measured[1]}",
            expected=f"those of {run.name}, {run.weights}, behind {run.filter_digest}",
            remedy="Run benchmarks/second_look.py on these networks first.",
        )

    def fill(part: Path) -> SuspicionManifest:
        _save_graph(network, run.config.input.size_px, part)
        return _manifest(network, run, results, _golden(part, run.config.input), identity_of(folder, part))

    return write_bundle(folder, fill, lambda path, manifest: write_look_card(path, manifest, results), force=force)


def _save_graph(network: Any, size: int, folder: Path) -> None:
    def logits(hu: Any) -> dict[str, Any]:
        return {name: ops.squeeze(said, -1) for name, said in network(hu, training=False).items()}

    save_signature(folder, logits, (size, size, 2), "hu", network)


def _manifest(
    network: Any, run: LookRun, results: LookResults, golden: GoldenCase, identity: Identity
) -> SuspicionManifest:
    return SuspicionManifest(
        **identity,
        description=(
            f"CNN of {network.count_params():,} parameters on two fields of view. suspicious and nodule are logits: "
            "more is more like a suspicious nodule or mass, or like a nodule of any kind. A finding's score is the sum "
            "that the rule states, in a series of means over the axial, coronal and sagittal plane."
        ),
        intended_use=INTENDED_USE,
        input=run.config.input,
        outputs=OUTPUTS,
        rule=results.rule,
        slice_point=results.slice_point,
        series_point=results.series_point,
        filter_digest=run.filter_digest,
        classifier_digest=results.classifier_digest,
        training_data=_training_data(run),
        performance=DetectorPerformance(
            command=results.command,
            protocol=results.protocol,
            plantings=results.plantings,
            patients=results.patients,
            figures=results.figures,
        ),
        golden=golden,
    )


def _training_data(run: LookRun) -> tuple[TrainingData, ...]:
    """The figures are of networks of the same recipe that left out what they are judged on."""
    wanted, count = run.config.networks[run.name], run.samples
    folds = f"without folds {', '.join(map(str, wanted.held_out_folds))}" if wanted.held_out_folds else "all folds"
    lidc = count["suspicious"] + count["other_nodules"] + count["lidc_blobs"]
    luna = count["luna_nodules"] + count["luna_negatives"]
    chest = count["chest_blobs"] + count["chest_masses"]
    rows = (
        (*LIDC, run.patients, lidc, run.data.get("lidc-nodules", ""), folds),
        (*LUNA, None, luna, run.data.get("luna-candidates", ""), folds),
        (
            f"whole scans {', '.join(run.scans)}, TCIA",
            TERMS,
            len(run.scans),
            count["scan_blobs"] + count["scan_lesions"] + count["large_blobs"],
            "",
            "false findings in three planes, and known suspicious lesions",
        ),
        (TCGA, TERMS, run.chest_patients, chest, "", "false findings, and masses"),
    )
    return tuple(
        TrainingData(source=source, licence=licence, patients=patients, items=items, digest=digest, split=split)
        for source, licence, patients, items, digest, split in rows
        if items
    )


def _golden(folder: Path, contract: FieldsContract) -> GoldenCase:
    fields = phantom_fields(contract)
    said = load_signature(folder, "hu")(fields[None].astype(np.float32))
    return golden_case(f"{GOLDEN_NODULE}, both fields", fields, {name: said[name] for name in OUTPUTS})


def phantom_fields(contract: FieldsContract) -> NDArray[np.int16]:
    """Both fields of a generated nodule, int16 (size, size, 2) in HU."""
    hu = lung_phantom(PatchSpec(PHANTOM_PX, PHANTOM_MM))
    middle = ((PHANTOM_PX - 1) / 2, (PHANTOM_PX - 1) / 2)
    return np.asarray(np.round(fields_at(Place(hu, (PHANTOM_MM, PHANTOM_MM), middle), contract)), np.int16)
