"""The planted-nodule benchmark: held-out nodules in the lungs of two whole scans, judged by filters that saw neither.

    python benchmarks/planted.py --data DIR --networks DIR --out docs/results/planted.json

prints sensitivity by false positives per slice, and writes it with a chart beside it. Deterministic.
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
from app.inference.detector import ScoreThreshold
from benchmarks.froc import RATES, Arm, sensitivities, shown
from benchmarks.froc import Background as FalseScores
from benchmarks.planted_scans import PlantedScan, planted_scan
from benchmarks.whole_scans import Judge, WholeScanCase, series_threshold, whole_scan, whole_scan_case
from training.datasets import read_dataset
from training.detector import logits
from training.detector_artefacts import FilterRun, read_filter, weights_digest
from training.detector_card import froc_table, native_table, scans_table
from training.detector_charts import draw_froc
from training.detector_config import DetectorConfig
from training.detector_report import Background, Band, Comparison, DetectorResults
from training.detector_scans import Scan, read_scan
from training.export import load_graph
from training.nodules import Dataset, Nodule
from training.samples import nodule_view

SHIPPED: Final = "shipped"
WANTED_RATE: Final = 1.0  # false positives per slice at the shipped threshold
SOLID, NON_SOLID = 4.0, 2.5  # mean texture rating from which a nodule is solid, and below which it is non-solid
CLASSIFIER = Path("models/nodule-classifier/1")
PROTOCOL: Final = (
    "Nodules of LIDC-IDRI from held-out folds, diameters as in its table, that lie free in the lung, each planted once "
    "at a random free place of a scan; found when the best candidate within its radius (at least 3 mm) scores above "
    "the threshold. False positives: candidates on all slices with lung of the unplanted scan, farther than 5 mm from "
    "anything a reader marked there (and 30 mm from the tumour). Each filter saw neither the patients nor the "
    "background. Rates are per slice with lung; sensitivities are pooled over both scans, each at its own threshold "
    "for that rate; intervals by bootstrap over patients and over blocks of 8 slices."
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
    """One filter, the scan it is judged on, and the held-out nodules."""

    network: Any
    run: FilterRun
    planted: PlantedScan
    held_out: tuple[Nodule, ...]

    def arm(self, network: Any | None = None) -> Arm:
        """The scores of this trial's filter, or of another network in its place."""
        chosen, spec = self.network if network is None else network, self.spec
        return arm_of(self.planted, spec, lambda hu: logits(chosen, hu))

    def native_arm(self, arm: Arm) -> Arm:
        """Held-out patches as they were scanned, with `arm`'s false candidates."""
        scores = logits(self.network, np.stack([nodule_view(n, self.spec).hu for n in self.held_out]))
        owners = np.array([n.patient for n in self.held_out])
        return Arm(scores.astype(np.float64), owners, arm.background)

    @property
    def spec(self) -> PatchSpec:
        """The filter's patch."""
        return self.run.config.input.patch_spec


def arm_of(planted: PlantedScan, spec: PatchSpec, judge: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Arm:
    """Scores of all plantings and false candidates of a scan by any judge of patches."""

    def scores(patches: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(judge(patches), np.float64) if len(patches) else np.zeros(0)

    best = [scores(p.patches[spec]).max(initial=-np.inf) for p in planted.plantings]
    owners = np.array([p.nodule.patient for p in planted.plantings])
    return Arm(np.array(best), owners, FalseScores(tuple(scores(patches[spec]) for patches in planted.false)))


def measure(trials: Sequence[Trial], shipped: tuple[Any, FilterRun], cases: Mapping[str, WholeScanCase],
            command: str) -> DetectorResults:  # fmt: skip
    """Every figure of docs/results/planted.json."""
    arms = [trial.arm() for trial in trials]
    chosen = [_flags(t.planted, BANDS[TARGET]) for t in trials]
    score = float(np.mean([arm.background.threshold(WANTED_RATE) for arm in arms]))
    hits, false_rate = shown(arms, chosen, score)
    judges = [Judge(t.run.name, t.network, t.planted.scan.name, honest=True) for t in trials]
    sum_score, sum_threshold = series_threshold(judges, cases)
    tested = {judge.scan for judge in judges if judge.name == SHIPPED}
    judges += [Judge(SHIPPED, shipped[0], name, honest=False) for name in cases if name not in tested]
    return DetectorResults(
        command=command,
        protocol=PROTOCOL,
        networks={t.run.name: weights_digest(t.network) for t in trials} | {SHIPPED: weights_digest(shipped[0])},
        plantings=sum(len(arm.scores) for arm in arms),
        patients=len({owner for arm in arms for owner in arm.owners}),
        backgrounds=tuple(_background(t, arm) for t, arm in zip(trials, arms, strict=True)),
        bands=tuple(_band(name, trials, arms) for name in BANDS),
        slice_threshold=ScoreThreshold(
            score=score,
            per="slice",
            chosen_for=f"{WANTED_RATE:g} false positive per slice, mean of the thresholds on {len(trials)} scans; "
            f"sensitivity for: {TARGET}",
            sensitivity=hits,
            false_positives=false_rate,
        ),
        series_threshold=sum_threshold,
        scans=tuple(whole_scan(judge, cases[judge.scan], sum_score) for judge in judges),
        comparisons=(_classifier(trials),),
        shipped_on_seen_scans=_shipped([t for t in trials if t.run.name != SHIPPED], shipped[0], score),
    )


def _flags(planted: PlantedScan, selection: Selection) -> NDArray[np.bool_]:
    return np.array([selection(p.nodule) for p in planted.plantings], np.bool_)


def _band(name: str, trials: Sequence[Trial], arms: Sequence[Arm]) -> Band:
    chosen = [_flags(t.planted, BANDS[name]) for t in trials]
    native = [t.native_arm(arm) for t, arm in zip(trials, arms, strict=True)]
    native_chosen = [np.array([BANDS[name](n) for n in t.held_out], np.bool_) for t in trials]
    scores = np.concatenate([arm.scores[flags] for arm, flags in zip(arms, chosen, strict=True)])
    return Band(
        name=name,
        plantings=len(scores),
        patients=len({o for arm, flags in zip(arms, chosen, strict=True) for o in arm.owners[flags]}),
        with_candidate=float(np.isfinite(scores).mean()),
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
        candidates_per_slice=float(np.mean([len(s) for s in arm.background.scores])),
        plantings=len(arm.scores),
        left_out=trial.planted.left_out,
        thresholds={f"{rate:g}": arm.background.threshold(rate) for rate in RATES},
    )


def _classifier(trials: Sequence[Trial]) -> Comparison:
    """The nodule classifier's own `nodule` output on the same candidates."""
    graph, spec = load_graph(CLASSIFIER), load_bundle(CLASSIFIER).manifest.input.patch_spec
    arms = [arm_of(t.planted, spec, lambda hu: graph(hu)["nodule"]) for t in trials]
    chosen = [_flags(t.planted, BANDS[TARGET]) for t in trials]
    return Comparison(
        judge=f"{CLASSIFIER.parent.name} {CLASSIFIER.name}, output nodule",
        note="its weights have seen the planted patients, which flatters it",
        sensitivity=_by_rate(sensitivities(arms, chosen)),
    )


def _shipped(trials: Sequence[Trial], network: Any, score: float) -> dict[str, Interval]:
    """The shipped filter where it has learned from everything: whether it took a scan's look for "no nodule"."""
    if not trials:
        return {}
    arms = [t.arm(network) for t in trials]
    hits, false_rate = shown(arms, [_flags(t.planted, BANDS[TARGET]) for t in trials], score)
    return {"sensitivity": hits, "false_positives_per_slice": false_rate}


def trial(dataset: Dataset, scan: Scan, networks: Path, config: DetectorConfig, specs: Sequence[PatchSpec]) -> Trial:
    """Plant the nodules meant for a scan and load the filter that learned neither from it nor from them."""
    nodules = tuple(n for n in dataset.nodules if n.fold in config.scans[scan.name].planted_folds)
    return Trial(*read_filter(networks, config.tester(scan.name)), planted_scan(scan, nodules, specs), nodules)


def main() -> None:
    """Parse arguments, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "networks", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    shipped = read_filter(given.networks, SHIPPED)
    config = shipped[1].config
    dataset = read_dataset(given.data)
    scans = {name: read_scan(given.data, name, scan) for name, scan in config.scans.items()}
    specs = (config.input.patch_spec, load_bundle(CLASSIFIER).manifest.input.patch_spec)
    trials = [trial(dataset, scan, given.networks, config, specs) for scan in scans.values()]
    cases = {name: whole_scan_case(scan, given.data, config.scans[name], specs[0]) for name, scan in scans.items()}
    results = measure(trials, shipped, cases, "python benchmarks/planted.py --data DIR --networks DIR --out FILE")
    given.out.write_text(results.model_dump_json(indent=1) + "\n", "utf-8")
    given.out.with_suffix(".png").write_bytes(draw_froc(results))
    tables = (froc_table(results.bands), native_table(results.bands), scans_table(results.scans))
    sys.stdout.write("\n\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
