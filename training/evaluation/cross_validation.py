"""Cross-validation: one network per fold, trained on the other folds, speaks about patients it never saw."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final  # keras is untyped

import keras
import numpy as np
from numpy.typing import NDArray

from app.inference import conformal
from training.data.datasets import hold_out
from training.data.nodules import TRAIT_SCALES, Dataset, Nodule
from training.evaluation.calibration import sigmoid
from training.evaluation.held_out import HeldOut, HeldOutCandidates, load, save
from training.evaluation.predictions import Model, Outputs, predict_candidates, predict_nodules
from training.fitting import whitening
from training.fitting.artefacts import NETWORK_FILE, write_network
from training.fitting.checkpoints import facts_in
from training.fitting.config import Config
from training.fitting.identity import Facts, code_facts, data_digest, run_facts
from training.fitting.samples import nodule_view
from training.fitting.train import predict, train

PREDICTIONS_FILE: Final = "predictions.npz"  # of one fold
RUN_FILE: Final = "run.json"  # what decided the fold's network
# What else than the network decides a fold's predictions.
PREDICTING_CODE: Final = ("cross_validation", "predictions", "held_out", "calibration", "metrics", "evidence")


def cross_validate(
    dataset: Dataset, config: Config, folder: Path | None = None, *, restart: bool = False
) -> tuple[HeldOut, HeldOutCandidates]:
    """Train once per fold on the other folds and predict the one left out.

    With a `folder`, each fold's network, log and predictions are kept in its `fold<k>`; what is there already from the
    same configuration, data and code is used as it is, and a fold that was interrupted goes on, unless `restart`. A
    network whose predictions are of other code is asked again and not trained again.
    Raises OtherRun when a fold's folder holds another run.
    """
    nodules, candidates = [], []
    for number, fold in enumerate(dataset.folds, 1):
        place = folder / f"fold{fold}" if folder else None
        label = f"fold {number}/{len(dataset.folds)}"
        of_nodules, of_candidates = predict_fold(dataset, config, fold, label=label, folder=place, restart=restart)
        nodules.append(of_nodules)
        candidates.append(of_candidates)
    return HeldOut.joined(nodules), HeldOutCandidates.joined(candidates)


def predict_fold(
    dataset: Dataset, config: Config, fold: int, *, label: str, folder: Path | None = None, restart: bool = False
) -> tuple[HeldOut, HeldOutCandidates]:
    """One fold of `cross_validate`."""
    inside, outside = hold_out(dataset, fold)
    facts = fold_facts(inside, outside, config)
    if folder and not restart and (kept := _kept(folder / PREDICTIONS_FILE, facts)):
        return kept
    network = None if folder is None or restart else _kept_network(folder, run_facts(inside, config))
    if network is None:
        trained = train(inside, config, label=label, folder=folder, restart=restart)
        network = trained.network
        if folder:
            (folder / RUN_FILE).unlink(missing_ok=True)  # it never stands beside another network
            write_network(folder, trained)
            (folder / RUN_FILE).write_text(json.dumps(run_facts(inside, config), indent=1), "utf-8")
    nodules, candidates = _predictions(network, inside, outside, config)
    if folder:
        save(folder / PREDICTIONS_FILE, nodules, candidates, facts)
    return nodules, candidates


def _predictions(network: Any, inside: Dataset, outside: Dataset, config: Config) -> tuple[HeldOut, HeldOutCandidates]:
    """What a network trained on `inside` says about `outside`."""
    statistics = whitening.fit_whitening(embed(network, inside.nodules, config), config.calibration.shrinkage)
    model = model_of(network)
    return (
        predict_nodules(model, outside.nodules, statistics, config),
        predict_candidates(model, outside.candidates, config),
    )


def fold_facts(inside: Dataset, outside: Dataset, config: Config) -> Facts:
    """What decides the predictions about `outside` of a network trained on `inside`."""
    here = [Path(__file__).with_name(f"{name}.py") for name in PREDICTING_CODE]
    elsewhere = [Path(whitening.__file__), Path(conformal.__file__)]
    return {
        **run_facts(inside, config),
        "data held out": data_digest(outside),
        "calibration.shrinkage": json.dumps(config.calibration.shrinkage),
        **code_facts([*here, *elsewhere]),
    }


def _kept(path: Path, facts: Facts) -> tuple[HeldOut, HeldOutCandidates] | None:
    """The predictions in `path`, if they are there and are those that `facts` would give."""
    return load(path) if _facts_of(path) == facts else None


def _kept_network(folder: Path, facts: Facts) -> Any | None:
    """The finished network in `folder`, if `facts` decided it."""
    run = folder / RUN_FILE
    if not (folder / NETWORK_FILE).is_file() or not run.is_file() or json.loads(run.read_text("utf-8")) != facts:
        return None
    return keras.saving.load_model(folder / NETWORK_FILE, compile=False)


def _facts_of(predictions: Path) -> Facts:
    if not predictions.is_file():
        return {}
    with np.load(predictions) as stored:
        return facts_in(stored)


def model_of(network: Any) -> Model:
    """A trained Keras network as figures take it."""
    low, high = np.array(list(TRAIT_SCALES.values()), np.float64).T

    def model(hu: NDArray[np.float32]) -> Outputs:
        said = predict(network, hu)
        return Outputs(
            malignancy=said.malignancy.astype(np.float64),
            nodule=said.nodule.astype(np.float64),
            traits=low + (high - low) * sigmoid(said.traits),
            mask=sigmoid(said.mask),
            embedding=said.embedding,
            local=said.local.astype(np.float64),
        )

    return model


def embed(network: Any, nodules: Sequence[Nodule], config: Config) -> NDArray[np.float32]:
    """Embeddings (N, D) of the nodules as serving would cut them."""
    spec = config.input.patch_spec
    return predict(network, np.stack([nodule_view(n, spec).hu for n in nodules])).embedding
