"""What a model says about nodules, about places beside them and about candidates.

One path for a fold's network and for a finished bundle, so that the figures of both mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.imaging.ct import FloatImage
from app.imaging.patches import PatchSpec
from app.inference.conformal import soft_diameter_mm
from app.inference.patch_outputs import MASK_THRESHOLD
from training.data.nodules import Candidate, Nodule
from training.evaluation import metrics
from training.evaluation.evidence import falls, peak_inside
from training.evaluation.held_out import HeldOut, HeldOutCandidates, truth_of
from training.evaluation.metrics import Floats
from training.fitting.config import Config
from training.fitting.samples import OUTLINE_LEVEL, View, candidate_view, nodule_view, random_negative
from training.fitting.whitening import Whitening

PATCHES_AT_ONCE = 512  # their masks are held together


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What a model says about N patches: two logits, traits on the rating scales, mask probabilities, embeddings and
    evidence."""

    malignancy: Floats  # (N,)
    nodule: Floats  # (N,)
    traits: Floats  # (N, 7)
    mask: NDArray[np.floating]  # (N, size, size)
    embedding: NDArray[np.float32]  # (N, D)
    local: Floats  # (N, h, w), how much each place speaks for malignancy: only their order is used


Model = Callable[[NDArray[np.float32]], Outputs]  # of float32 (N, size, size) patches in HU, N at least 1


def predict_nodules(model: Model, nodules: Sequence[Nodule], whitening: Whitening, config: Config) -> HeldOut:
    """Everything that is measured on nodules, from one model; at least one nodule."""
    parts = range(0, len(nodules), PATCHES_AT_ONCE)
    return HeldOut.joined([_predict(model, nodules[k : k + PATCHES_AT_ONCE], whitening, config) for k in parts])


def predict_candidates(model: Model, candidates: Sequence[Candidate], config: Config) -> HeldOutCandidates:
    """What is measured on LUNA candidates, from one model."""
    spec = config.input.patch_spec
    said = _said_of_places(model, [candidate_view(c, spec).hu for c in candidates], spec.spacing_mm)
    return HeldOutCandidates(
        fold=np.array([c.fold for c in candidates], np.int64),
        is_nodule=np.array([c.is_nodule for c in candidates], np.bool_),
        nodule=said[0],
        malignancy=said[1],
        soft_diameter_mm=said[2],
    )


def _predict(model: Model, nodules: Sequence[Nodule], whitening: Whitening, config: Config) -> HeldOut:
    spec = config.input.patch_spec
    views = [nodule_view(n, spec) for n in nodules]
    hu = np.stack([v.hu for v in views])
    said = model(hu)
    agreed = [_consensus(n, spec) for n in nodules]
    by_evidence, by_chance = falls(lambda h: model(h).malignancy, hu, said.local, [n.nodule_id for n in nodules])
    drawn = said.mask > MASK_THRESHOLD
    negative, negative_malignancy, negative_soft_mm = _beside(model, nodules, config)
    return HeldOut(
        **truth_of(nodules),
        malignancy=said.malignancy,
        nodule=said.nodule,
        negative=negative,
        negative_malignancy=negative_malignancy,
        negative_soft_mm=negative_soft_mm,
        traits=said.traits,
        dice=outline_dice(drawn, [view.outline for view in views]),
        dice_consensus=outline_dice(drawn, agreed),
        diameter_mm=metrics.diameter_mm(drawn, spec.spacing_mm),
        soft_diameter_mm=soft_diameter_mm(said.mask, spec.spacing_mm),
        distance=whitening.distance(said.embedding),
        peak_inside=peak_inside(said.local, agreed),
        fall_by_evidence=by_evidence,
        fall_by_chance=by_chance,
    )


def _beside(model: Model, nodules: Sequence[Nodule], config: Config) -> Floats:
    """`_said_of_places` (3, N) of places beside the nodules; nan where a patch has no such place."""
    places = places_beside(nodules, config)
    said = np.full((3, len(nodules)), np.nan)
    found = np.array([view is not None for view in places])
    said[:, found] = _said_of_places(model, [v.hu for v in places if v is not None], config.input.spacing_mm)
    return said


def outline_dice(drawn: NDArray[np.bool_], outlines: Sequence[FloatImage | None]) -> Floats:
    """Dice (N,) of masks (N, size, size) with outlines as fractions 0-1 of the same pixels; nan where there is none."""
    known = np.array([outline is not None for outline in outlines], np.bool_)
    overlap = np.full(len(outlines), np.nan)
    if known.any():
        true = np.stack([outline > OUTLINE_LEVEL for outline in outlines if outline is not None])
        overlap[known] = metrics.dice(drawn[known], true)
    return overlap


def _consensus(nodule: Nodule, spec: PatchSpec) -> FloatImage | None:
    """What half of the readers hold for nodule, in the network's pixels; None where only one outline is known."""
    if nodule.votes is None:
        return None
    agreed = nodule.votes.consensus
    return nodule_view(replace(nodule, outline=agreed), spec).outline


def places_beside(nodules: Sequence[Nodule], config: Config) -> list[View | None]:
    """A place beside each nodule, undegraded and the same at every call; None where a patch has no such place."""
    plain = config.augment.model_copy(update={"jpeg": 0.0, "blur": 0.0, "noise": 0.0, "shift_hu": 0.0, "zoom": 0.0})
    generators = (np.random.default_rng([config.seed, n.nodule_id]) for n in nodules)
    return [random_negative(n, config.input, plain, rng) for n, rng in zip(nodules, generators, strict=True)]


def _said_of_places(model: Model, patches: Sequence[NDArray[np.float32]], spacing_mm: float) -> Floats:
    """Logits of nodule and of malignancy and the soft diameter in mm, (3, N), of places that may be no nodule."""
    # Data of a site's own have no candidates, and a model refuses an empty batch; masks are large.
    parts = [patches[k : k + PATCHES_AT_ONCE] for k in range(0, len(patches), PATCHES_AT_ONCE)]
    found = [_three(model(np.stack(part)), spacing_mm) for part in parts]
    return np.concatenate(found, axis=1) if found else np.zeros((3, 0))


def _three(said: Outputs, spacing_mm: float) -> Floats:
    return np.stack([said.nodule, said.malignancy, soft_diameter_mm(said.mask, spacing_mm)])
