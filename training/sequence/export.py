"""Writes the bundle of the recurrent network over slices: SavedModel, manifest, golden case and card."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final  # keras and tensorflow are untyped

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from app.inference.bundle import (
    CARD_FILE,
    MANIFEST_FILE,
    EncodedArray,
    GoldenCase,
    Interval,
    TrainingData,
    bundle_files,
    file_digest,
    read_verified,
)
from app.inference.sequence import OUTPUT, SequenceManifest, SequencePerformance, Stack, StackContract, arranged
from training.data.nodules import DatasetMalformed
from training.detector.identity import weights_digest
from training.reporting.export import GOLDEN_TOLERANCE, SIGNATURE, tensorflow_runtime
from training.sequence.artefacts import SHIPPED, TrainedSequences
from training.sequence.card import write_sequence_card
from training.sequence.network import SEQUENCE
from training.sequence.study import Line, SequenceResults

INTENDED_USE: Final = (
    "Research on a second opinion about a lung nodule that is outlined on several axial CT slices, beside the "
    "classifier that decides. Not a medical device; no diagnosis, treatment or screening decision may rest on it."
)
SOURCE: Final = (
    "LIDC-IDRI, TCIA (Armato et al. 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX): nodules cut out along one reader's "
    "outline on each slice (MaximoDouglas/pulmonary-nodule-classification), with the ratings of all readers"
)
LICENCE: Final = "CC BY 3.0 (the images); the repository of the cut-outs states none"
GOLDEN_DIAMETER_MM: Final = 12
GOLDEN_STEP_MM: Final = 2  # whole millimetres, as the golden input holds whole numbers
GOLDEN_SEED: Final = 12


def export_sequence(trained: TrainedSequences, results: SequenceResults, folder: Path) -> SequenceManifest:
    """Write a whole bundle into `folder` (…/<name>/<integer>), replacing what is there, and verify its files.

    Raises DatasetMalformed when `results` were measured with other networks, BundleError when what was written does not
    match its own manifest.
    """
    if results.weights != (found := weights_digest(trained.networks[SHIPPED])):
        raise DatasetMalformed(
            found=f"figures of weights {results.weights}",
            expected=f"those of the trained networks, {found}",
            remedy="Run scripts/sequence.py evaluate on these weights first.",
        )
    shutil.rmtree(folder, ignore_errors=True)
    contract = trained.run.config.input.contract
    save_graph(trained.networks[SHIPPED], contract, results.calibration, folder)
    manifest = _manifest(trained, results, folder)
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")
    write_sequence_card(folder / CARD_FILE, manifest, results)
    return read_verified(folder, SequenceManifest)[0]


def save_graph(network: Any, contract: StackContract, calibration: Line, folder: Path) -> None:
    """Write the SavedModel, calibration included, with a dict output: OpenVINO reads that and keeps the name."""
    tf = tensorflow_runtime()
    archive = keras.export.ExportArchive()
    archive.track(network)

    def suspicion(slices: Any) -> dict[str, Any]:
        logit = ops.squeeze(network(slices, training=False)[SEQUENCE], -1)
        return {OUTPUT: ops.sigmoid(calibration.slope * logit + calibration.intercept)}

    spec = tf.TensorSpec((None, *contract.shape), tf.float32, name=contract.name)
    archive.add_endpoint(SIGNATURE, suspicion, input_signature=[spec])
    archive.write_out(str(folder), verbose=False)


def run_graph(folder: Path, stacks: Stack) -> NDArray[np.float32]:
    """The SavedModel in `folder` about stacks (N, slices, size, size, 3): probabilities (N,)."""
    tf = tensorflow_runtime()
    model = tf.saved_model.load(str(folder))  # kept: the signature only borrows its variables
    return np.asarray(model.signatures[SIGNATURE](slices=tf.constant(stacks))[OUTPUT], np.float32)


def golden_stack(contract: StackContract) -> Stack:
    """A generated ball on all its slices, in whole HU."""
    radius = GOLDEN_DIAMETER_MM / 2
    heights = np.arange(-radius + 1, radius, GOLDEN_STEP_MM)
    along = (np.arange(contract.size_px) - contract.patch_spec.middle_px) * contract.spacing_mm
    squared = along[:, None] ** 2 + along**2 + heights[:, None, None] ** 2
    inside = (squared <= radius**2).astype(np.float32)
    noise = np.random.default_rng(GOLDEN_SEED).normal(0, 20, inside.shape)
    return arranged(((30 + noise).round() * inside).astype(np.float32), inside, heights, contract)


def _manifest(trained: TrainedSequences, results: SequenceResults, folder: Path) -> SequenceManifest:
    run, contract = trained.run, trained.run.config.input.contract
    return SequenceManifest(
        schema_version=1,
        name=folder.resolve().parent.name,
        version=int(folder.name),
        created=datetime.now(UTC).replace(microsecond=0),
        description=(
            "A CNN that every masked slice of a nodule goes through and a bidirectional GRU over its embeddings; "
            f"{trained.networks[SHIPPED].count_params():,} parameters. suspicion is the calibrated probability that "
            "readers' median suspicion is above 3 rather than below. It gives second opinions and decides nothing."
        ),
        intended_use=INTENDED_USE,
        input=contract,
        outputs=(OUTPUT,),
        training_data=(
            TrainingData(
                source=SOURCE,
                licence=LICENCE,
                patients=len(run.seen[SHIPPED]),
                items=run.stacks,
                digest=run.data,
                split="figures by 5 folds of patients; weights from all of them",
            ),
        ),
        performance=SequencePerformance(
            command=results.command,
            protocol=results.protocol,
            nodules=results.nodules,
            patients=results.patients,
            figures=_figures(results),
        ),
        golden=_golden(folder, contract),
        digests={file: file_digest(folder / file) for file in sorted(bundle_files(folder))},
    )


def _figures(results: SequenceResults) -> dict[str, Interval]:
    measured = {"auc": results.auc, "size_matched_auc": results.size_matched_auc}
    ranking = {f"{kind}_{way}": figure for kind, figures in measured.items() for way, figure in figures.items()}
    return {**ranking, **results.probabilities}


def _golden(folder: Path, contract: StackContract) -> GoldenCase:
    stack = golden_stack(contract)
    return GoldenCase(
        description=f"generated ball of {GOLDEN_DIAMETER_MM} mm (training/sequence/export.py)",
        hu=EncodedArray.encode(stack.astype(np.int16)),
        outputs={OUTPUT: EncodedArray.encode(run_graph(folder, stack[None])[0])},
        tolerance=GOLDEN_TOLERANCE,
    )
