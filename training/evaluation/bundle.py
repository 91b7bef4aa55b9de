"""A finished bundle on any test data: its own graph, calibration, thresholds and sets, as served."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from app.inference.bundle import Bundle, Manifest
from training.data.nodules import Dataset, Nodule
from training.evaluation import metrics
from training.evaluation.calibration import Whitening, operating_point
from training.evaluation.cross_fitting import Calibration, decided, judge
from training.evaluation.held_out import HeldOut, HeldOutCandidates, outline_dice, places_beside, truth_of
from training.evaluation.metrics import Flags, Floats
from training.evaluation.readers import Ratings
from training.evaluation.results import Evaluation, describe_study, measured_on
from training.evaluation.study import Study, in_fold_order, joined
from training.fitting.config import Config, InputConfig
from training.fitting.samples import candidate_view, nodule_view

Graph = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]
PATCHES_AT_ONCE = 256
SMALLEST = 1e-7  # float32 probabilities of 0 and 1 have no logit
DRAWN_LEVEL = 0.5  # as `MASK_THRESHOLD` of app.inference.diagnose
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
    bundle: Bundle, graph: Graph, dataset: Dataset, config: Config, ratings: Ratings, command: str
) -> tuple[Study, Evaluation]:
    """Everything that is measured of a bundle and its `graph` on `dataset`, with the input that the bundle takes."""
    manifest = bundle.manifest
    study = served_study(bundle, graph, dataset, config, ratings)
    protocol = PROTOCOL.format(
        name=manifest.name, version=manifest.version, digest=bundle.digest, measured_on=measured_on(study, config)
    )
    fixed, warned = as_calibration(manifest), warnings_of(manifest, dataset)
    return study, describe_study(study, dataset, config, command, protocol, fixed, warned)


def with_input(config: Config, manifest: Manifest) -> Config:
    """`config` with the bundle's name and input in place of its own."""
    contract = manifest.input
    patch = InputConfig(size_px=contract.size_px, spacing_mm=contract.spacing_mm, clip_hu=contract.clip_hu)
    return config.model_copy(update={"input": patch, "name": f"{manifest.name} {manifest.version}"})


def served_study(bundle: Bundle, graph: Graph, dataset: Dataset, config: Config, ratings: Ratings) -> Study:
    """What `graph` says about every nodule and candidate, judged by the bundle's manifest."""
    manifest, fixed = bundle.manifest, as_calibration(bundle.manifest)
    cases = in_fold_order(dataset)
    nodules = _judge_nodules(graph, cases, manifest, config)
    candidates = _judge_candidates(graph, dataset, config)
    judged = judge(nodules, fixed, _by_size(nodules, config))
    called = 1 / (1 + np.exp(-candidates.nodule)) >= fixed.nodule_threshold
    readers = config.evaluation.min_readers
    return joined(nodules, judged, cases, candidates, called, config.input, ratings, readers)


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


def run_in_parts(graph: Graph, hu: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """The graph's outputs for any number of patches (size, size) but none, batch axis first."""
    parts = [graph(np.stack(hu[k : k + PATCHES_AT_ONCE])) for k in range(0, len(hu), PATCHES_AT_ONCE)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _judge_nodules(graph: Graph, cases: Sequence[Nodule], manifest: Manifest, config: Config) -> HeldOut:
    spec = config.input.patch_spec
    views = [nodule_view(n, spec) for n in cases]
    said = run_in_parts(graph, [v.hu for v in views])
    drawn = said["mask"] > DRAWN_LEVEL
    statistics = manifest.out_of_distribution
    whitening = Whitening(statistics.mean.decode(), statistics.whitening.decode())
    return HeldOut(
        **truth_of(cases),
        malignancy=_logit(said["malignancy"]),
        nodule=_logit(said["nodule"]),
        negative=_beside(graph, cases, config),
        traits=said["traits"].astype(np.float64),
        dice=outline_dice(drawn, views),
        diameter_mm=metrics.diameter_mm(drawn, spec.spacing_mm),
        soft_diameter_mm=metrics.soft_diameter_mm(said["mask"], spec.spacing_mm),
        distance=whitening.distance(said["embedding"]),
    )


def _judge_candidates(graph: Graph, dataset: Dataset, config: Config) -> HeldOutCandidates:
    spec, candidates = config.input.patch_spec, dataset.candidates
    views = [candidate_view(c, spec).hu for c in candidates]
    return HeldOutCandidates(
        np.array([c.fold for c in candidates], np.int64),
        np.array([c.is_nodule for c in candidates], np.bool_),
        _logit(run_in_parts(graph, views)["nodule"]) if views else np.zeros(0),
    )


def _beside(graph: Graph, cases: Sequence[Nodule], config: Config) -> Floats:
    places = places_beside(cases, config)
    found: Flags = np.array([view is not None for view in places])
    logits = np.full(len(cases), np.nan)
    if found.any():
        logits[found] = _logit(run_in_parts(graph, [v.hu for v in places if v is not None])["nodule"])
    return logits


def _by_size(nodules: HeldOut, config: Config) -> float:
    chosen = nodules.where(decided(nodules, config))
    if not chosen.suspicious.any():
        return float("nan")
    return operating_point(chosen.true_diameter_mm, chosen.suspicious, config.calibration.sensitivity)


def _logit(probability: NDArray[np.float32]) -> Floats:
    inside = np.clip(probability.astype(np.float64), SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log(inside / (1 - inside)), np.float64)
