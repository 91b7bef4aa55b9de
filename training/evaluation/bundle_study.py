"""A finished bundle on any test data: its own graph, calibration, thresholds and sets, as served."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from app.inference.bundle import Bundle, Manifest
from training.data.nodules import Dataset
from training.data.references import References
from training.evaluation.cross_fitting import Calibration, answer, answer_candidates, diameter_threshold_mm
from training.evaluation.metrics import Floats
from training.evaluation.predictions import Model, Outputs, predict_candidates, predict_nodules
from training.evaluation.results import Evaluation, describe_study, measured_on
from training.evaluation.study import Study, in_fold_order, joined
from training.fitting.config import Config, InputConfig
from training.fitting.whitening import Whitening

Graph = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]
PATCHES_AT_ONCE = 256
SMALLEST = 1e-7  # float32 probabilities of 0 and 1 have no logit
PROTOCOL = "{name} {version} ({digest}) with the calibration, thresholds and sets of its manifest; {measured_on}"
SEEN = (
    "The bundle was trained on exactly this data ({name}): these figures show what it remembers, not what it can do. "
    "Read those of the cross-validation in its manifest instead."
)
UNKNOWN = (
    "The manifest does not list the patients the bundle was trained on ({sources}), so whether some are in this data "
    "cannot be known. The figures are of new patients only if you know that none is."
)
BY_SIZE = "sensitivity_ and specificity_diameter_alone use a threshold chosen on this very data, which flatters them."


def evaluate_bundle(
    bundle: Bundle,
    graph: Graph,
    dataset: Dataset,
    config: Config,
    references: References,
    command: str,
    remarks: tuple[str, ...] = (),
) -> tuple[Study, Evaluation]:
    """Everything that is measured of a bundle and its `graph` on `dataset`, with the input that the bundle takes."""
    manifest = bundle.manifest
    study = bundle_study(bundle, graph, dataset, config, references)
    protocol = PROTOCOL.format(
        name=manifest.name, version=manifest.version, digest=bundle.digest, measured_on=measured_on(study, config)
    )
    fixed, warned = as_calibration(manifest), (*warnings_of(manifest, dataset), *dataset.remarks, *remarks)
    return study, describe_study(study, dataset, config, command, protocol, fixed, warned)


def with_input(config: Config, manifest: Manifest) -> Config:
    """`config` with the bundle's name and input in place of its own."""
    contract = manifest.input
    patch = InputConfig(size_px=contract.size_px, spacing_mm=contract.spacing_mm, clip_hu=contract.clip_hu)
    return config.model_copy(update={"input": patch, "name": f"{manifest.name} {manifest.version}"})


def bundle_study(
    bundle: Bundle,
    graph: Graph,
    dataset: Dataset,
    config: Config,
    references: References,
    threshold: float | None = None,
) -> Study:
    """What `graph` says about every nodule and candidate, answered by the bundle's manifest.

    `threshold` replaces its operating point where a site has its own.
    """
    fixed, statistics = as_calibration(bundle.manifest), bundle.manifest.out_of_distribution
    if threshold is not None:
        fixed = fixed.model_copy(update={"threshold": threshold})
    whitening = Whitening(statistics.mean.decode(), statistics.whitening.decode())
    cases, model = in_fold_order(dataset), model_of(graph)
    nodules = predict_nodules(model, cases, whitening, config)
    candidates = predict_candidates(model, dataset.candidates, config)
    answers = answer(nodules, fixed, diameter_threshold_mm(nodules, config))
    return joined(nodules, answers, cases, candidates, answer_candidates(candidates, fixed), config, references)


def as_calibration(manifest: Manifest) -> Calibration:
    """The manifest's thresholds; its graph gives calibrated probabilities, so there is nothing left to scale."""
    return Calibration(
        slope=1.0,
        intercept=0.0,
        threshold=manifest.operating_point.threshold,
        quantiles=dict(manifest.conformal.quantiles),
        nodule_threshold=manifest.nodule_threshold,
        distance_threshold=manifest.out_of_distribution.threshold,
    )


def warnings_of(manifest: Manifest, dataset: Dataset) -> tuple[str, ...]:
    """What a reader must know about these figures before reading them."""
    trained = {data.digest for data in manifest.training_data}
    seen = tuple(SEEN.format(name=name) for name, digest in dataset.digests if digest in trained)
    sources = ", ".join(data.source for data in manifest.training_data)
    return (*(seen or (UNKNOWN.format(sources=sources),)), BY_SIZE)


def model_of(graph: Graph) -> Model:
    """A bundle's `graph` as figures take it, whatever the number of patches."""

    def model(hu: NDArray[np.float32]) -> Outputs:
        parts = [graph(hu[k : k + PATCHES_AT_ONCE]) for k in range(0, len(hu), PATCHES_AT_ONCE)]
        said = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return Outputs(
            malignancy=_logit(said["malignancy"]),
            nodule=_logit(said["nodule"]),
            traits=said["traits"].astype(np.float64),
            mask=said["mask"],
            embedding=said["embedding"],
            local=said["evidence"].astype(np.float64),
        )

    return model


def _logit(probability: NDArray[np.float32]) -> Floats:
    inside = np.clip(probability.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(inside / (1 - inside)), np.float64)
