"""Writes the bundle of the recurrent network over slices: SavedModel, manifest, golden case and card."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final  # keras and tensorflow are untyped

import numpy as np
from keras import ops

from app.inference.bundle import (
    GoldenCase,
    Interval,
    TrainingData,
)
from app.inference.sequence import OUTPUT, SequenceManifest, SequencePerformance, Stack, StackContract, arranged
from training.data.nodules import DatasetMalformed
from training.detector.identity import weights_digest
from training.reporting.bundles import (
    Identity,
    golden_case,
    identity_of,
    load_signature,
    save_signature,
    write_bundle,
)
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


def export_sequence(
    trained: TrainedSequences, results: SequenceResults, folder: Path, *, force: bool = False
) -> SequenceManifest:
    """`write_bundle` of the network over slices. Raises DatasetMalformed when `results` were measured with other
    networks."""
    if results.weights != (found := weights_digest(trained.networks[SHIPPED])):
        raise DatasetMalformed(
            found=f"figures of weights {results.weights}",
            expected=f"those of the trained networks, {found}",
            remedy="Run scripts/sequence.py evaluate on these weights first.",
        )
    contract = trained.run.config.input.contract

    def fill(part: Path) -> SequenceManifest:
        save_graph(trained.networks[SHIPPED], contract, results.calibration, part)
        return _manifest(trained, results, _golden(part, contract), identity_of(folder, part))

    return write_bundle(folder, fill, lambda path, manifest: write_sequence_card(path, manifest, results), force=force)


def save_graph(network: Any, contract: StackContract, calibration: Line, folder: Path) -> None:
    """Write the SavedModel, calibration included."""

    def suspicion(slices: Any) -> dict[str, Any]:
        logit = ops.squeeze(network(slices, training=False)[SEQUENCE], -1)
        return {OUTPUT: ops.sigmoid(calibration.slope * logit + calibration.intercept)}

    save_signature(folder, suspicion, contract.shape, contract.name, network)


def golden_stack(contract: StackContract) -> Stack:
    """A generated ball on all its slices, in whole HU."""
    radius = GOLDEN_DIAMETER_MM / 2
    heights = np.arange(-radius + 1, radius, GOLDEN_STEP_MM)
    along = (np.arange(contract.size_px) - contract.patch_spec.middle_px) * contract.spacing_mm
    squared = along[:, None] ** 2 + along**2 + heights[:, None, None] ** 2
    inside = (squared <= radius**2).astype(np.float32)
    noise = np.random.default_rng(GOLDEN_SEED).normal(0, 20, inside.shape)
    return arranged(((30 + noise).round() * inside).astype(np.float32), inside, heights, contract)


def _manifest(
    trained: TrainedSequences, results: SequenceResults, golden: GoldenCase, identity: Identity
) -> SequenceManifest:
    run, contract = trained.run, trained.run.config.input.contract
    return SequenceManifest(
        **identity,
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
        golden=golden,
    )


def _figures(results: SequenceResults) -> dict[str, Interval]:
    measured = {"auc": results.auc, "size_matched_auc": results.size_matched_auc}
    ranking = {f"{kind}_{way}": figure for kind, figures in measured.items() for way, figure in figures.items()}
    return {**ranking, **results.probabilities}


def _golden(folder: Path, contract: StackContract) -> GoldenCase:
    stack = golden_stack(contract)
    said = load_signature(folder, contract.name)(stack[None])
    description = f"generated ball of {GOLDEN_DIAMETER_MM} mm (training/sequence/export.py)"
    return golden_case(description, stack.astype(np.int16), said)
