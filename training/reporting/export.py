"""Writes the bundle: the calibrated graph as a SavedModel, its manifest, its golden case and its card."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any  # keras and tensorflow are untyped

import numpy as np
from keras import ops

from app.imaging.patches import PatchSpec
from app.inference.bundle import (
    OUTPUT_NAMES,
    EncodedArray,
    GoldenCase,
    InputContract,
    Label,
    Manifest,
    OperatingPoint,
    OutOfDistribution,
    Performance,
    TrainingData,
    Trait,
)
from app.inference.conformal import Conformal
from training.data.nodules import TRAIT_SCALES
from training.evaluation.calibration import MIN_DRAWN_MM, MIN_OF_BIN
from training.evaluation.cross_fitting import Calibration
from training.evaluation.results import Evaluation
from training.fitting.architectures import FEATURES, MALIGNANCY_LAYER
from training.fitting.artefacts import Artefacts, Run
from training.fitting.whitening import LOCAL_REACH, Whitening
from training.reporting.bom import with_bom
from training.reporting.bundles import (
    Identity,
    golden_case,
    identity_of,
    run_graph,
    save_signature,
    tensorflow_runtime,
    write_bundle,
)
from training.reporting.card import write_card
from training.reporting.phantom import DIAMETER_MM, lung_phantom
from training.reporting.provenance import lineage_of, require_same

GOLDEN_NODULE = f"generated sphere of {DIAMETER_MM:g} mm in noisy lung (training/reporting/phantom.py)"
MAX_DRAWN_MM = 60.0  # no patch shows a larger outline
INTENDED_USE = (
    "Research on judging a lung nodule at a given place of an axial chest CT slice. Not a medical device; "
    "no diagnosis, treatment or screening decision may rest on it."
)
LABELS = (
    Label(finding="cancer_suspected", snomed_ct="162573006", meaning="Suspected lung cancer"),
    Label(finding="normal", snomed_ct="17621005", meaning="Normal"),
)
LIDC = ("LIDC-IDRI, TCIA (Armato et al. 2011, doi 10.7937/K9/TCIA.2015.LO9QL9SX)", "CC BY 3.0")
SCANS = ("LIDC-IDRI-0001 and -0012 (as above) and C3N-00247 of CPTAC-LSCC, TCIA", "CC BY 3.0")
LUNA = ("LUNA16 candidates (Setio et al. 2017, doi 10.1016/j.media.2017.06.015)", "CC BY 4.0")
OWN = ("a table of the site that trained this model", "not stated")


def export_bundle(artefacts: Artefacts, evaluation: Evaluation, folder: Path, *, force: bool = False) -> Manifest:
    """`write_bundle` of the classifier. Raises BundleError also when weights and figures are not of one recipe and
    data."""
    tensorflow_runtime()
    require_same(artefacts.run, evaluation)

    def fill(part: Path) -> Manifest:
        save_graph(artefacts, evaluation.calibration, part)
        golden = golden_nodule(part, artefacts.run.config.input.patch_spec)
        return with_bom(_manifest(artefacts, evaluation, golden, identity_of(folder, part)), part)

    def card(path: Path, manifest: Manifest) -> None:
        write_card(path, manifest, evaluation, artefacts.run)

    return write_bundle(folder, fill, card, force=force)


def served_outputs(network: Any, hu: Any, calibration: Calibration, run: Run) -> dict[str, Any]:
    """The outputs named in the manifest, calibration included, for a tensor of patches in HU.

    `evidence` is sigmoid(local calibrated logit / evidence_scale), so that the mean over the map of
    scale * logit(evidence) is the logit of `malignancy`: above 0.5 a place speaks for suspicion, below against.
    The part that size has in it is the same at every place.
    """
    out = network(hu, training=False)
    mask = ops.squeeze(ops.sigmoid(out["mask"]), -1)
    diameter_mm = 2 * run.config.input.spacing_mm * ops.sqrt(ops.sum(mask, axis=(1, 2)) / np.pi)
    size = calibration.per_log_mm * ops.log(ops.maximum(diameter_mm, MIN_DRAWN_MM)) + calibration.intercept
    slope = calibration.slope
    local = slope * ops.squeeze(network.get_layer(MALIGNANCY_LAYER)(out[FEATURES]), -1) + size[:, None, None]
    low, high = np.array(list(TRAIT_SCALES.values()), np.float32).T
    return {
        "malignancy": ops.sigmoid(slope * ops.squeeze(out["malignancy"], -1) + size),
        "nodule": ops.squeeze(ops.sigmoid(out["nodule"]), -1),
        "traits": ops.sigmoid(out["traits"]) * (high - low) + low,
        "mask": mask,
        "evidence": ops.sigmoid(local / evidence_scale(calibration, run)),
        "embedding": ops.mean(out[FEATURES], axis=(1, 2)),
    }


def evidence_scale(calibration: Calibration, run: Run) -> float:
    """The divisor that keeps `evidence` where a float32 sigmoid can be inverted: room for the strongest place of the
    training nodules, and for what size and intercept add at every place."""
    everywhere = calibration.per_log_mm * math.log(MAX_DRAWN_MM) + abs(calibration.intercept)
    return calibration.slope * run.local_scale + everywhere / LOCAL_REACH


def save_graph(artefacts: Artefacts, calibration: Calibration, folder: Path) -> None:
    """Write the SavedModel."""
    network, run = artefacts.network, artefacts.run
    size = run.config.input.size_px
    save_signature(folder, lambda hu: served_outputs(network, hu, calibration, run), (size, size, 1), "hu", network)


def golden_nodule(folder: Path, spec: PatchSpec) -> GoldenCase:
    """A generated nodule and what the SavedModel in `folder` says about it."""
    hu = lung_phantom(spec)
    said = run_graph(folder, hu.astype(np.float32)[None])
    return golden_case(GOLDEN_NODULE, hu, {name: said[name] for name in OUTPUT_NAMES})


def _manifest(artefacts: Artefacts, evaluation: Evaluation, golden: GoldenCase, identity: Identity) -> Manifest:
    run, fitted, figures = artefacts.run, evaluation.calibration, evaluation.figures
    wanted = run.config.calibration
    return Manifest(
        **identity,
        description=_description(artefacts, fitted),
        intended_use=INTENDED_USE,
        input=InputContract(
            size_px=run.config.input.size_px, spacing_mm=run.config.input.spacing_mm, clip_hu=run.config.input.clip_hu
        ),
        outputs=OUTPUT_NAMES,
        labels=LABELS,
        traits=tuple(Trait(name=trait, scale=scale) for trait, scale in TRAIT_SCALES.items()),
        nodule_threshold=fitted.nodule_threshold,
        operating_point=OperatingPoint(
            threshold=fitted.threshold,
            chosen_for=f"sensitivity {wanted.sensitivity:g} for suspicious nodules on held-out folds",
            sensitivity=figures["sensitivity"],
            specificity=figures["specificity"],
        ),
        conformal=Conformal(coverage=wanted.coverage, quantiles=fitted.quantiles, min_nodules=MIN_OF_BIN),
        out_of_distribution=_out_of_distribution(artefacts.whitening, evaluation),
        training_data=_training_data(artefacts),
        performance=Performance(
            command=evaluation.command,
            protocol=evaluation.protocol,
            nodules=evaluation.nodules,
            patients=evaluation.patients,
            figures=figures,
        ),
        golden=golden,
        lineage=lineage_of(run, evaluation),
    )


def _description(artefacts: Artefacts, fitted: Calibration) -> str:
    scale = evidence_scale(fitted, artefacts.run)
    return (
        f"Multi-task CNN of {artefacts.network.count_params():,} parameters. evidence is 0-1: above 0.5 a place speaks "
        f"for suspicion, below against; mean({scale:.6g} * logit(evidence)) = logit(malignancy). malignancy is the "
        "calibrated probability that readers' median suspicion is above 3 rather than below."
    )


def _out_of_distribution(whitening: Whitening, evaluation: Evaluation) -> OutOfDistribution:
    return OutOfDistribution(
        method="mahalanobis",
        mean=EncodedArray.encode(whitening.mean),
        whitening=EncodedArray.encode(whitening.matrix),
        threshold=evaluation.calibration.distance_threshold,
        accepted=evaluation.figures["in_distribution"].value,
    )


def _training_data(artefacts: Artefacts) -> tuple[TrainingData, ...]:
    run = artefacts.run
    known = {
        "lidc-nodules": (*LIDC, run.patients, run.nodules, "figures by 5 folds of patients; weights from all of them"),
        "lidc-readers": (*LIDC, run.patients, run.nodules, "every reader's outline and ratings of the same nodules"),
        "scans": (*SCANS, 3, run.false_findings, "false findings; each scan in the fold of its patient, one in a fold"),
        "luna-candidates": (*LUNA, None, run.candidates, "folds cut at the same series as those of the nodules"),
        "lidc-idri": (*LIDC, run.patients, run.nodules, "by patient; weights from all of them"),
        "table": (*OWN, run.patients, run.nodules, "by patient; weights from all of them"),
    }
    return tuple(
        TrainingData(
            source=known[name][0],
            licence=known[name][1],
            patients=known[name][2],
            items=known[name][3],
            digest=digest,
            split=known[name][4],
        )
        for name, digest in run.data.items()
        if name in known
    )
