"""The planted-nodule benchmark: held-out nodules in the lungs of two whole scans, judged by networks that saw neither.

    python benchmarks/planted.py --data DIR --networks DIR --classifiers DIR --out docs/results/planted.json

prints sensitivity by false positives per slice, and writes it with a chart beside it. Deterministic. CLASSIFIERS holds
the networks of the nodule classifier's cross-validation (`make evaluate`). With `--pictures DIR` it draws what was
missed and the strongest false findings there; they show data that may not be passed on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.imaging.patches import PatchSpec
from app.inference.bundle import Interval, load_bundle
from app.inference.detector import ScoreThreshold, SecondReader
from benchmarks.froc import RATES, Arm, sensitivities, shown
from benchmarks.planted_pictures import draw_pictures
from benchmarks.planted_scans import PlantedScan, planted_scan
from benchmarks.readers import Alone, Cascade, Every, Judge, Reader, arm_of
from benchmarks.whole_scans import Judge as SeriesJudge
from benchmarks.whole_scans import WholeScanCase, series_threshold, whole_scan, whole_scan_case
from training.data.datasets import read_dataset
from training.data.nodules import Dataset, Nodule
from training.data.scans import Scan, read_scan
from training.detector.artefacts import FilterRun, read_classifier, read_filter
from training.detector.card import froc_table, native_table, scans_table
from training.detector.charts import draw_froc
from training.detector.config import DetectorConfig
from training.detector.fit import logits
from training.detector.identity import weights_digest
from training.detector.report import Background, Band, Comparison, DetectorResults, WholeScan
from training.fitting.samples import nodule_view
from training.fitting.train import predict

SHIPPED: Final = "shipped"
WANTED_RATE: Final = 1.0  # false positives per slice at the shipped threshold
PASSED_RATE: Final = 4.0  # false candidates per slice that the filter lets pass to the second reader
WEIGHT: Final = 1.0  # of the second reader: the plain sum of two logits, nothing fitted
SOLID, NON_SOLID = 4.0, 2.5  # mean texture rating from which a nodule is solid, and below which it is non-solid
CLASSIFIER = Path("models/nodule-classifier/1")
PROTOCOL: Final = (
    "Nodules of LIDC-IDRI from held-out folds, diameters as in its table, that lie free in the lung, each planted once "
    "at a random free place of a scan; found when the best finding within its radius (at least 3 mm) scores above "
    "the threshold. Findings are what a slice is served with: of candidates on one place the best, let pass by the "
    "filter and scored by it and the nodule classifier together. False positives: findings on all slices with lung of "
    "the unplanted scan, farther than 5 mm from anything a reader marked there (and 30 mm from the tumour). Filter and "
    "classifier saw neither the patients nor the background: the classifier is the network of cross-validation that "
    "left out the fold of the planted nodules. Rates are per slice with lung; sensitivities are pooled over both "
    "scans, each at its own threshold for that rate; intervals by bootstrap over patients and over blocks of 8 slices."
)

Selection = Callable[[Nodule], bool]
BANDS: Final[dict[str, Selection]] = {
    "solid, 6 mm and more, 3 readers": lambda n: is_solid(n) and n.diameter_mm >= 6 and n.readers >= 3,
    "solid, 6 mm and more": lambda n: is_solid(n) and n.diameter_mm >= 6,
    "4-6 mm": lambda n: 4 <= n.diameter_mm < 6,
    "6-10 mm": lambda n: 6 <= n.diameter_mm < 10,
    "10-20 mm": lambda n: 10 <= n.diameter_mm < 20,
    "over 20 mm": lambda n: n.diameter_mm >= 20,
    "solid": lambda n: is_solid(n),
    "part-solid": lambda n: not is_solid(n) and not is_non_solid(n),
    "non-solid": lambda n: is_non_solid(n),
}
TARGET: Final = "solid, 6 mm and more, 3 readers"


def is_solid(nodule: Nodule) -> bool:
    """Whether readers rate it solid on average."""
    return nodule.traits[-1] >= SOLID


def is_non_solid(nodule: Nodule) -> bool:
    """Whether readers rate it ground-glass on average."""
    return nodule.traits[-1] < NON_SOLID


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One filter, the classifier that saw as little, the scan both are judged on, and the held-out nodules."""

    network: Any
    run: FilterRun
    classifier_network: Any
    classifier_spec: PatchSpec
    planted: PlantedScan
    held_out: tuple[Nodule, ...]

    @property
    def filter(self) -> Judge:
        """This trial's filter."""
        return self.other_filter(self.network)

    def other_filter(self, network: Any) -> Judge:
        """Another network in its place."""
        return Judge(self.run.config.input.patch_spec, lambda hu: logits(network, hu))

    @property
    def classifier(self) -> Judge:
        """The classifier's `nodule` output."""
        return Judge(self.classifier_spec, lambda hu: predict(self.classifier_network, hu).nodule)

    def native_arm(self, cascade: Cascade, arm: Arm) -> Arm:
        """Held-out patches as they were scanned, with `arm`'s false findings."""
        views = [
            np.stack([nodule_view(n, judge.spec).hu for n in self.held_out])
            for judge in (cascade.judge, cascade.classifier)
        ]
        return Arm(cascade.native(*views), np.array([n.patient for n in self.held_out]), arm.background)


def measure(trials: Sequence[Trial], shipped: tuple[Any, FilterRun], cases: Mapping[str, WholeScanCase],
            command: str) -> tuple[DetectorResults, list[Cascade]]:  # fmt: skip
    """Every figure of docs/results/planted.json, and who they are of."""
    second = _second_reader(trials)
    cascades = [Cascade(trial.filter, trial.classifier, second) for trial in trials]
    arms = [arm_of(trial.planted, cascade) for trial, cascade in zip(trials, cascades, strict=True)]
    native = [t.native_arm(c, arm) for t, c, arm in zip(trials, cascades, arms, strict=True)]
    by_slice = _slice_threshold(trials, arms)
    by_series, scans = _whole_scans(trials, shipped[0], cases)
    seen = [t for t in trials if t.run.name != SHIPPED]
    results = DetectorResults(
        command=command,
        protocol=PROTOCOL,
        networks={t.run.name: weights_digest(t.network) for t in trials} | {SHIPPED: weights_digest(shipped[0])},
        classifiers={t.planted.scan.name: weights_digest(t.classifier_network) for t in trials},
        plantings=sum(len(arm.scores) for arm in arms),
        patients=len({owner for arm in arms for owner in arm.owners}),
        backgrounds=tuple(_background(t, arm) for t, arm in zip(trials, arms, strict=True)),
        bands=tuple(_band(name, trials, arms, native) for name in BANDS),
        slice_threshold=by_slice,
        second_reader=second,
        series_threshold=by_series,
        scans=scans,
        comparisons=_comparisons(trials),
        shipped_on_seen_scans=_shipped(seen, shipped[0], second, by_slice.score),
    )
    return results, cascades


def _second_reader(trials: Sequence[Trial]) -> SecondReader:
    """The classifier, asked about what each filter alone lets pass at PASSED_RATE."""
    alone = [arm_of(trial.planted, Alone(trial.filter)) for trial in trials]
    return SecondReader(
        model=CLASSIFIER.parent.name,
        from_score=float(np.mean([arm.background.threshold(PASSED_RATE) for arm in alone])),
        chosen_for=f"{PASSED_RATE:g} false candidates per slice, mean of the thresholds on {len(trials)} scans",
        weight=WEIGHT,
    )


def _slice_threshold(trials: Sequence[Trial], arms: Sequence[Arm]) -> ScoreThreshold:
    """The score that slices are served with, and what it shows of the nodules of TARGET."""
    score = float(np.mean([arm.background.threshold(WANTED_RATE) for arm in arms]))
    hits, false_rate = shown(arms, [_flags(t.planted, BANDS[TARGET]) for t in trials], score)
    return ScoreThreshold(
        score=score,
        per="slice",
        chosen_for=f"{WANTED_RATE:g} false positive per slice, mean of the thresholds on {len(trials)} scans; "
        f"sensitivity for: {TARGET}",
        sensitivity=hits,
        false_positives=false_rate,
    )


def _whole_scans(
    trials: Sequence[Trial], shipped: Any, cases: Mapping[str, WholeScanCase]
) -> tuple[ScoreThreshold, tuple[WholeScan, ...]]:
    """The score that series are served with, and every scan at it: by who did not learn from it, and by the shipped."""
    judges = [SeriesJudge(t.run.name, t.network, t.planted.scan.name, honest=True) for t in trials]
    score, threshold = series_threshold(judges, cases)
    tested = {judge.scan for judge in judges if judge.name == SHIPPED}
    judges += [SeriesJudge(SHIPPED, shipped, name, honest=False) for name in cases if name not in tested]
    return threshold, tuple(whole_scan(judge, cases[judge.scan], score) for judge in judges)


def _flags(planted: PlantedScan, selection: Selection) -> NDArray[np.bool_]:
    return np.array([selection(p.nodule) for p in planted.plantings], np.bool_)


def _band(name: str, trials: Sequence[Trial], arms: Sequence[Arm], native: Sequence[Arm]) -> Band:
    chosen = [_flags(t.planted, BANDS[name]) for t in trials]
    native_chosen = [np.array([BANDS[name](n) for n in t.held_out], np.bool_) for t in trials]
    with_candidate = [p.on.any() for t in trials for p in t.planted.plantings if BANDS[name](p.nodule)]
    return Band(
        name=name,
        plantings=len(with_candidate),
        patients=len({o for arm, flags in zip(arms, chosen, strict=True) for o in arm.owners[flags]}),
        with_candidate=float(np.mean(with_candidate)),
        sensitivity=_by_rate(sensitivities(arms, chosen)),
        native_nodules=int(sum(flags.sum() for flags in native_chosen)),
        native=_by_rate(sensitivities(native, native_chosen)),
    )


def _by_rate(figures: Mapping[float, Interval]) -> dict[str, Interval]:
    return {f"{rate:g}": figure for rate, figure in figures.items()}


def _background(trial: Trial, arm: Arm) -> Background:
    wanted = trial.run.config.filters[trial.run.name]
    return Background(
        filter=trial.run.name,
        scan=trial.planted.scan.name,
        held_out_folds=wanted.held_out_folds,
        hard_negatives=wanted.hard_negatives,
        slices=len(arm.background.scores),
        candidates_per_slice=float(np.mean([len(found.points_mm) for found in trial.planted.false])),
        passed_per_slice=float(np.mean([len(scores) for scores in arm.background.scores])),
        plantings=len(arm.scores),
        left_out=trial.planted.left_out,
        thresholds={f"{rate:g}": arm.background.threshold(rate) for rate in RATES},
    )


def _comparisons(trials: Sequence[Trial]) -> tuple[Comparison, ...]:
    """The filter and the classifier each by itself."""
    asked: tuple[tuple[str, str, Callable[[Trial], Reader]], ...] = (
        ("filter, every candidate", "each candidate is a finding of its own", lambda t: Every(t.filter)),
        ("filter", "of candidates on one place the best", lambda t: Alone(t.filter)),
        ("classifier, output nodule", "of candidates on one place the best", lambda t: Alone(t.classifier)),
    )
    chosen = [_flags(t.planted, BANDS[TARGET]) for t in trials]
    return tuple(
        Comparison(
            judge=judge,
            note=note,
            sensitivity=_by_rate(sensitivities([arm_of(t.planted, reader(t)) for t in trials], chosen)),
        )
        for judge, note, reader in asked
    )


def _shipped(trials: Sequence[Trial], network: Any, second: SecondReader, score: float) -> dict[str, Interval]:
    """The shipped filter where it has learned from everything: whether it took a scan's look for "no nodule"."""
    if not trials:
        return {}
    arms = [arm_of(t.planted, Cascade(t.other_filter(network), t.classifier, second)) for t in trials]
    hits, false_rate = shown(arms, [_flags(t.planted, BANDS[TARGET]) for t in trials], score)
    return {"sensitivity": hits, "false_positives_per_slice": false_rate}


@dataclass(frozen=True, slots=True)
class Networks:
    """Where the filters are, and the classifier's networks of cross-validation."""

    filters: Path
    classifiers: Path


def trial(
    dataset: Dataset, scan: Scan, networks: Networks, config: DetectorConfig, specs: Sequence[PatchSpec]
) -> Trial:
    """Plant the nodules meant for a scan and load the networks that learned neither from it nor from them.

    Raises ValueError when the nodules are of several folds: no network of cross-validation has missed them all.
    """
    (fold,) = config.scans[scan.name].planted_folds
    nodules = tuple(n for n in dataset.nodules if n.fold == fold)
    network, run = read_filter(networks.filters, config.tester(scan.name))
    classifier = read_classifier(networks.classifiers, fold)
    return Trial(network, run, classifier, specs[1], planted_scan(scan, nodules, specs), nodules)


def main() -> None:
    """Parse arguments, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "networks", "classifiers", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, help="folder for contact sheets")
    given = parser.parse_args()
    networks = Networks(given.networks, given.classifiers)
    shipped = read_filter(networks.filters, SHIPPED)
    config = shipped[1].config
    dataset = read_dataset(given.data)
    scans = {name: read_scan(given.data, name, scan) for name, scan in config.scans.items()}
    specs = (config.input.patch_spec, load_bundle(CLASSIFIER).manifest.input.patch_spec)
    trials = [trial(dataset, scan, networks, config, specs) for scan in scans.values()]
    cases = {name: whole_scan_case(scan, given.data, config.scans[name], specs[0]) for name, scan in scans.items()}
    command = "python benchmarks/planted.py --data DIR --networks DIR --classifiers DIR --out FILE"
    results, cascades = measure(trials, shipped, cases, command)
    given.out.write_text(results.model_dump_json(indent=1) + "\n", "utf-8")
    given.out.with_suffix(".png").write_bytes(draw_froc(results))
    if given.pictures is not None:
        wanted = [BANDS[TARGET](p.nodule) for t in trials for p in t.planted.plantings]
        draw_pictures(given.pictures, [t.planted for t in trials], cascades, wanted, WANTED_RATE)
    tables = (froc_table(results.bands), native_table(results.bands), scans_table(results.scans))
    sys.stdout.write("\n\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
