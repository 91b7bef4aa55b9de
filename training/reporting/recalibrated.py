"""A new version of a bundle with a site's own calibration: the same weights, another line at the end of the graph."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final  # tensorflow is untyped

import numpy as np

from app.errors import BundleError
from app.inference.bundle import (
    OUTPUT_NAMES,
    Bundle,
    EncodedArray,
    GoldenCase,
    Interval,
    Manifest,
)
from app.inference.conformal import Conformal
from app.inference.lineage import Lineage, Parent
from training.data.nodules import Dataset
from training.evaluation.calibration import MIN_OF_BIN
from training.evaluation.cross_fitting import Calibration, decided
from training.evaluation.figures import intervals, suspicion_figures
from training.evaluation.recalibration import cross_fitted_refit, refit, require_enough
from training.evaluation.stated_and_observed import SMALLEST
from training.evaluation.study import Study
from training.fitting.config import Config
from training.reporting.bom import with_bom
from training.reporting.bundles import (
    SIGNATURE,
    Identity,
    identity_of,
    run_graph,
    save_signature,
    tensorflow_runtime,
    write_bundle,
)
from training.reporting.card import sets_by_size
from training.reporting.provenance import require_free

# Figures of the parent that its calibration decided; the site's own, cross-fitted, take their place.
REFITTED: Final = (
    "brier",
    "ece",
    "ece_if_perfect",
    "calibration_slope",
    "set_size_with_indeterminate",
    "coverage_suspicious",
    "coverage_benign",
    "set_size",
    "decided",
    "correct_when_decided",
)
SITE: Final = ("auc", "auc_diameter_alone", "sensitivity", "specificity", *REFITTED)
VARIABLES: Final = "variables/variables"


def recalibrate(bundle: Bundle, study: Study, dataset: Dataset, config: Config, folder: Path, command: str) -> Manifest:
    """Write a recalibrated version of `bundle` into `folder`, which must be free, and verify it by loading.

    Raises DatasetMalformed for too few cases, and BundleError when something is in `folder` or the graph says anything
    else than before but for `malignancy`.
    """
    require_enough(study.nodules, config)
    require_new_version(bundle, folder)
    fitted = refit(study.nodules, bundle.manifest, config)
    site = site_figures(study, bundle.manifest, config)

    def fill(part: Path) -> Manifest:
        _save_graph(bundle, fitted, part)
        _require_same_weights(bundle.path, part)
        return with_bom(_manifest(bundle, dataset, fitted, site, part, identity_of(folder, part), command), part)

    def card(path: Path, manifest: Manifest) -> None:
        path.write_text(_card(bundle, manifest, site), "utf-8")

    return write_bundle(folder, fill, card)


def require_new_version(bundle: Bundle, folder: Path) -> None:
    """Raise BundleError unless `folder` is free and names a version of the same model."""
    require_free(folder, force=False)
    name = bundle.manifest.name
    if folder.resolve().parent.name != name or not folder.name.isdecimal() or int(folder.name) < 1:
        raise BundleError(
            found=f"{folder} for a new version",
            expected=f"…/{name}/<integer>",
            remedy=f"Give --recalibrate …/{name}/{bundle.manifest.version + 1}.",
        )


def site_figures(study: Study, manifest: Manifest, config: Config) -> dict[str, Interval]:
    """Figures at the site with its own calibration, each fold's fitted on the others."""
    nodules = study.nodules.where(decided(study.nodules, config))
    table = suspicion_figures(nodules, cross_fitted_refit(nodules, manifest, config), config)
    return intervals({k: table[k] for k in SITE if k in table}, nodules.patient.tolist(), config)


def _save_graph(bundle: Bundle, fitted: Calibration, folder: Path) -> None:
    """Write the graph that calls the old one and calibrates what it says."""
    tf, size = tensorflow_runtime(), bundle.manifest.input.size_px
    loaded = tf.saved_model.load(str(bundle.path))
    old = loaded.signatures[SIGNATURE]

    def served(hu: Any) -> dict[str, Any]:
        said = dict(old(hu=hu))
        p = tf.clip_by_value(said["malignancy"], SMALLEST, 1 - SMALLEST)
        said["malignancy"] = tf.sigmoid(fitted.slope * tf.math.log(p / (1 - p)) + fitted.intercept)
        return said

    save_signature(folder, served, (size, size, 1), "hu", loaded)


def _require_same_weights(old: Path, new: Path) -> None:
    """Names may differ and order may; every array must be there, bit for bit."""
    if weight_digests(old) != weight_digests(new):
        raise BundleError(
            found=f"other weights in {new} than in {old}",
            expected="the same: recalibration leaves them alone",
            remedy="Report this with the versions of TensorFlow and Keras; nothing was written.",
        )


def weight_digests(bundle: Path) -> list[str]:
    """sha256 of every array of floats in the SavedModel, sorted."""
    reader = tensorflow_runtime().train.load_checkpoint(str(bundle / VARIABLES))
    arrays = [np.asarray(reader.get_tensor(name)) for name in reader.get_variable_to_shape_map()]
    floats = [a for a in arrays if a.dtype.kind == "f" and a.ndim]
    return sorted({hashlib.sha256(f"{a.shape}".encode() + a.tobytes()).hexdigest() for a in floats})


def _manifest(
    bundle: Bundle,
    dataset: Dataset,
    fitted: Calibration,
    site: Mapping[str, Interval],
    part: Path,
    identity: Identity,
    command: str,
) -> Manifest:
    old = bundle.manifest
    change = f"logit' = {fitted.slope:.6g} * logit + {fitted.intercept:.6g}, and conformal sets anew"
    ranking = {name: figure for name, figure in old.performance.figures.items() if not _is_refitted(name)}
    performance = old.performance.model_copy(
        update={
            "protocol": f"{old.performance.protocol}. site_*: {command}; calibration of each fold fitted on the others",
            "figures": ranking | {f"site_{name}": figure for name, figure in site.items()},
        }
    )
    point = old.operating_point
    return old.model_copy(
        update={
            **identity,
            "description": f"{old.description} Recalibrated at a site: malignancy is {change}; evidence is as before.",
            "operating_point": point.model_copy(
                update={
                    "threshold": fitted.threshold,
                    "chosen_for": f"{point.chosen_for}; carried over to the recalibrated probability",
                }
            ),
            "conformal": Conformal(coverage=old.conformal.coverage, quantiles=fitted.quantiles, min_nodules=MIN_OF_BIN),
            "performance": performance,
            "golden": _golden(old.golden, part),
            "lineage": _lineage(bundle, dataset, change),
        }
    )


def _is_refitted(name: str) -> bool:
    return name in REFITTED or name.startswith("coverage_")


def _golden(old: GoldenCase, folder: Path) -> GoldenCase:
    said = run_graph(folder, old.hu.decode()[None])
    for name in set(OUTPUT_NAMES) - {"malignancy"}:
        if np.abs(said[name][0] - old.outputs[name].decode()).max() > old.tolerance:
            raise BundleError(found=f"another {name}", expected="what the old graph says", remedy="Report this.")
    outputs = {name: EncodedArray.encode(said[name][0]) for name in OUTPUT_NAMES}
    return old.model_copy(update={"outputs": outputs})


def _lineage(bundle: Bundle, dataset: Dataset, change: str) -> Lineage:
    old = bundle.manifest
    parent = Parent(name=old.name, version=old.version, digest=bundle.digest, change=change, data=dict(dataset.digests))
    return (old.lineage or Lineage()).model_copy(update={"parent": parent})


def _card(bundle: Bundle, manifest: Manifest, site: Mapping[str, Interval]) -> str:
    old = bundle.manifest
    said = "\n".join(f"- {sentence}" for sentence in (manifest.lineage or Lineage()).sentences())
    figures = "\n".join(f"| {k} | {f.value:.3f} | {f.low:.3f} to {f.high:.3f} |" for k, f in site.items())
    return (
        f"# {manifest.name} {manifest.version}\n\n**Research use only. Not a medical device.**\n\n"
        f"The weights of {old.name} {old.version} with a calibration and prediction sets of one site: sets for "
        f"{manifest.conformal.coverage:.0%} coverage of each class{sets_by_size(manifest.conformal)}.\n\n{said}\n\n"
        f"## Figures at the site\n\nEach fold's calibration was fitted on the others.\n\n"
        f"| figure | value | 95 % interval |\n|---|---|---|\n{figures}\n\n"
        f"## The card of {old.name} {old.version}\n\nIts figures of calibration and coverage hold no more.\n\n"
        f"{bundle.card}"
    )
