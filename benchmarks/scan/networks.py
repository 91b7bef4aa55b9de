"""The second look's networks of cross-fitting, each asked only about what it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from app.errors import InputError
from app.inference.bundle import MANIFEST_FILE, load_bundle, read_verified
from app.inference.detector import Detector
from app.inference.model import Model, create_backend
from app.inference.suspicion import SecondLook, SuspicionManifest
from app.inference.view import OUTPUT, ViewCheck, ViewManifest
from benchmarks.fold_classifiers import LEFT_OUT, bundle_of
from benchmarks.scan.answers import Judge
from benchmarks.scan.known import SCANS
from training.fitting.network_backend import NetworkBackend
from training.second_look.artefacts import LookRun, look_backend, read_network
from training.second_look.chest import patient_parts
from training.sight.fit import logits
from training.sight.runs import trained
from training.sight.views import FOLDS

FILTER: Final = Path("models/nodule-detector/1")
SECOND_LOOK: Final = Path("models/nodule-suspicion/1")  # its rule and its points hold for every network
CHEST_VIEW: Final = Path("models/chest-view/1")
THREADS: Final = 1
LOWEST: Final = -1e6  # no score is as low


class SeenBefore(InputError):
    """A network that has learned from what it would be tested on."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a network is tested on: whole scans, folds of planted nodules, and parts of the
    chest slices' patients."""

    scans: frozenset[str] = frozenset()
    folds: frozenset[int] = frozenset()
    parts: frozenset[int] = frozenset()


def require_unseen(run: LookRun, trial: Trial) -> None:
    """Raises SeenBefore naming what of it the network has learned from, by its recipe or by its record."""
    recipe = run.config.networks[run.name]
    parts = trial.parts - {recipe.held_out_part}
    seen = [
        *(f"scan {scan}" for scan in sorted(trial.scans) if scan not in recipe.held_out_scans or scan in run.scans),
        *(f"fold {fold}" for fold in sorted(trial.folds - set(recipe.held_out_folds))),
        *(f"part {part} of the chest slices" for part in sorted(parts)),
    ]
    if seen:
        raise SeenBefore(
            found=f"the network {run.name}, which has seen {', '.join(seen)}",
            expected="a network that has seen nothing of what it is tested on",
            remedy="Train one that leaves it out (training/configs/second_look.toml).",
        )


def view_backend(network: Any) -> NetworkBackend:
    """A trained network of the view check as the service runs one: float32 (N, size, size, 1) thumbnails in HU to
    logits (N,)."""
    return NetworkBackend(lambda hu: {OUTPUT: logits(network, list(hu[..., 0]))})


def read_views(folder: Path, bundle: Path = CHEST_VIEW) -> dict[int, ViewCheck]:
    """The view check's networks by the fold of scans and patients that each has not seen (`make sight`), with the
    thresholds of the shipped bundle; raises BundleError without it."""
    manifest, digest = read_verified(bundle, ViewManifest)
    networks = {fold: view_backend(trained(folder, f"fold{fold}")) for fold in FOLDS}
    return {fold: ViewCheck(folder, manifest, digest, network) for fold, network in networks.items()}


@dataclass(frozen=True, slots=True)
class Panel:
    """The judges by their networks' names, the records of these, and the view check by the fold it has not seen, or
    none."""

    judges: Mapping[str, Judge]
    runs: Mapping[str, LookRun]
    views: Mapping[int, ViewCheck] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, views: Path | None, classifiers: Path, bundle: Path = SECOND_LOOK) -> Self:
        """The second look's networks in `folder` and the view check's in `views`, with the rule and the points of the
        shipped `bundle`, behind the shipped filter and before the classifiers in `classifiers` that have not seen the
        same folds (`benchmarks.fold_classifiers`), or before one that has seen everything, where that is a bundle.

        Raises OSError when a file is missing and BundleError where a bundle or the filter is not the one of the record.
        """
        manifest, digest = read_verified(bundle, SuspicionManifest)
        detector = Detector.load(FILTER, create_backend("auto", THREADS))
        judges, runs = {}, {}
        for record in sorted(folder.glob("*.json")):
            network, run = read_network(folder, record.stem)
            look = SecondLook(folder, manifest.model_copy(update={"filter_digest": run.filter_digest}), digest,
                              look_backend(network))  # fmt: skip
            look.require_filter(detector.digest)
            if run.name in LEFT_OUT:
                whole = (classifiers / MANIFEST_FILE).is_file()
                beside = classifiers if whole else bundle_of(classifiers, run.name)
                model = Model.load(load_bundle(beside), create_backend("auto", THREADS))
                judges[run.name], runs[run.name] = Judge(run.name, model, detector, look), run
        return cls(judges, runs, {} if views is None else read_views(views))

    @property
    def weights(self) -> dict[str, str]:
        """Digests of the networks' weights by name."""
        return {name: run.weights for name, run in self.runs.items()}

    @property
    def bundles(self) -> dict[str, str]:
        """Digests of the bundles that judge beside them, the second look's being that of its rule and points."""
        judge = next(iter(self.judges.values()))
        return {
            **{f"classifier {name}": each.model.bundle.digest for name, each in self.judges.items()},
            "filter": judge.detector.digest,
            "second look": judge.second_look.digest,
        }

    def of_scan(self, name: str) -> Judge:
        """Who has seen neither a scan nor the nodules planted into it; raises SeenBefore without one."""
        role = SCANS[name]
        judge = self._unseen(Trial(frozenset({name}), frozenset({role.planted_fold})))
        return replace(judge, view=self.views[role.fold]) if self.views else judge

    def of_patient(self, patient: str, patients: list[str]) -> Judge:
        """Who has seen no chest slice of a patient, one of `patients`; raises SeenBefore without one."""
        (parts,) = {run.config.chest_slices.parts for run in self.runs.values() if run.config.chest_slices}
        part = patient_parts(patients, parts)[patient]
        judge = self._unseen(Trial(parts=frozenset({part})))
        # Both deal out the sorted patients in turn: folds in the order of FOLDS, parts in that of their numbers.
        return replace(judge, view=self.views[FOLDS[part]]) if self.views else judge

    def _unseen(self, trial: Trial) -> Judge:
        """The first of the networks that will do."""
        refusal: SeenBefore | None = None
        for name, run in self.runs.items():
            try:
                require_unseen(run, trial)
            except SeenBefore as seen:
                refusal = refusal or seen
            else:
                return self.judges[name]
        raise refusal or SeenBefore(found="no network", expected="networks", remedy="Check --networks.")


def opened(judge: Judge) -> Judge:
    """The same judge, who shows every finding that the filter lets pass: for curves over all scores.

    `suspected` is then every finding to which the classifier does not object.
    """
    manifest = judge.second_look.manifest
    everything = {"listed_from": LOWEST, "open_from": LOWEST, "suspected_from": LOWEST}
    points = {name: getattr(manifest, name).model_copy(update=everything) for name in ("slice_point", "series_point")}
    look = replace(judge.second_look, manifest=manifest.model_copy(update=points))
    return replace(judge, second_look=look)
