"""The second look on whole scans, planted and native nodules and chest slices, by networks that saw none of them.

    python benchmarks/second_look.py --data DIR --networks DIR --out docs/results/second_look.json

writes what docs/detector.md and the model card say of it, the points of the bundle included. Deterministic. With
`--pictures DIR` it draws every slice that is wrongly suspected and every suspicious nodule that is missed there; they
show data that may not be passed on.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.inference.bundle import Manifest, read_verified
from app.inference.detector import DetectorManifest
from app.inference.suspicion import ScanPoint, ScoreRule
from benchmarks.look_cases import (
    ChestCase,
    Fields,
    Floats,
    Gate,
    Looks,
    Passed,
    SeriesCase,
    SliceCase,
    chest_case,
    series_case,
    slice_case,
)
from benchmarks.look_figures import (
    SliceScores,
    chosen_score,
    curve,
    curve_point,
    listed_score,
    pooled_figures,
    series_point,
    series_scores,
)
from benchmarks.look_pictures import draw_pictures
from benchmarks.planted import BANDS, TARGET
from training.data.datasets import read_dataset
from training.data.nodules import Nodule
from training.data.scans import read_scan
from training.fitting.network_backend import NetworkBackend
from training.second_look.artefacts import LookRun, filter_of, look_backend, read_network
from training.second_look.card import curve_table, figures_table, scans_table, series_table
from training.second_look.chest import TABLE, patient_parts
from training.second_look.config import LookConfig
from training.second_look.report import ChestRow, KnownLesion, LookResults, ScanFigures, SeriesFigures

SHIPPED: Final = "shipped"
FILTER = Path("models/nodule-detector/1")
CLASSIFIER = Path("models/nodule-classifier/1")  # which may object: with another the figures are others
RULE: Final = ScoreRule(suspicious=1.0, nodule=0.5, filter=0.5)  # of a trial on other networks; nothing fitted here
SUSPECTED_SHARE: Final = 0.05  # of slices without lesion that may be suspected, over all scans
OPEN_SHARE: Final = 0.10  # that may be suspected or left open
WORST_SHARE: Final = 0.10  # suspected, of a single scan
LISTED_PER_SLICE: Final = 0.5  # false findings
SAME_LESION_MM: Final = 8.0
SHOWN_FALSE: Final = 12
COMMAND: Final = "python benchmarks/second_look.py --data DIR --networks DIR --out docs/results/second_look.json"
PROTOCOL: Final = (
    "Each scan is judged by a network that learned neither from it nor from the fold of the nodules planted into it "
    "(the filter saw no scan and neither fold 0 nor 4, but it saw the patch of lidc-0001's own nodule). Findings are "
    "what the filter lets pass, one to a place; a slice's score is that of its highest. False alarms: lesion-free "
    "slices with lung, 5 mm and more along the normal from everything that any reader marked and from the tumour. "
    "Planted and native: solid, 6 mm and more, three readers, median suspicion above 3; planting and hits as in "
    "benchmarks/planted.py, native in the nodule's own patch, mirrored at its edge, wall included. Intervals by "
    "bootstrap over patients and over blocks of 8 slices. The weights of the rule are a trial's, the points are chosen "
    "on these scans. The score alone: what is served also asks the classifier, which can only object. `chosen by "
    "others` is each scan at the score that the other two chose."
)


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Everything that networks are asked about."""

    slices: tuple[SliceCase, ...]
    series: tuple[SeriesCase, ...]
    chest: tuple[ChestCase, ...]


def read_cases(data: Path, config: LookConfig, gate: Gate) -> Cases:
    """Plant, search and let the filter choose."""
    dataset = read_dataset(data)
    scans = {name: read_scan(data, name, scan) for name, scan in config.scans.items()}
    slices, series = [], []
    for name, scan in scans.items():
        nodules = [n for n in dataset.nodules if n.fold in config.scans[name].planted_folds and is_wanted(n)]
        slices.append(slice_case(scan, nodules, gate))
        series.append(series_case(scan, data, config.scans[name], gate))
    return Cases(tuple(slices), tuple(series), _chest(data, config, gate))


def is_wanted(nodule: Nodule) -> bool:
    """Suspicious, solid, 6 mm and more, marked by three readers."""
    return BANDS[TARGET](nodule) and nodule.suspicion == "suspicious"


def _chest(data: Path, config: LookConfig, gate: Gate) -> tuple[ChestCase, ...]:
    if config.chest_slices is None:
        return ()
    folder = data / config.chest_slices.folder
    with (folder / TABLE).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    parts = patient_parts([row["patient"] for row in rows], config.chest_slices.parts)
    return tuple(
        chest_case(folder, r, parts[r["patient"]], gate) for r in rows if r["region"] in config.chest_slices.regions
    )


def scores_of(found: Passed, look: Looks) -> Floats:
    """Scores (N,) of findings on a slice."""
    if not len(found.logits):
        return np.zeros(0, np.float64)
    return np.asarray(RULE.score(*look(found.fields), found.logits), np.float64)


def best(found: Passed, look: Looks, *, on: bool = False) -> float:
    """The highest score, of those on what was asked about; -inf without any."""
    scores = scores_of(found, look)
    return float((scores[found.on] if on else scores).max(initial=-np.inf))


def slice_scores(case: SliceCase, look: Looks) -> SliceScores:
    """What one network says of a scan's slices and of the nodules planted into it."""
    false = [scores_of(found, look) for found in case.false]
    return SliceScores(
        name=case.name,
        false=tuple(false),
        lesion_free=case.lesion_free,
        planted=np.array([best(p.found, look, on=True) for p in case.plantings]),
        planted_owners=np.array([p.nodule.patient for p in case.plantings]),
        native=np.array([best(p.found, look, on=True) for p in case.native]),
        native_owners=np.array([p.nodule.patient for p in case.native]),
    )


def measure(cases: Cases, looks: Mapping[str, Looks], runs: Mapping[str, LookRun], config: LookConfig) -> LookResults:
    """Every figure of docs/results/second_look.json."""
    testers = {case.name: config.tester(case.name) for case in cases.slices}
    scores = [slice_scores(case, looks[testers[case.name]]) for case in cases.slices]
    suspected = chosen_score(scores, SUSPECTED_SHARE, WORST_SHARE)
    figures = pooled_figures(scores, [suspected] * len(scores), "")
    own = [chosen_score([o for o in scores if o is not s], SUSPECTED_SHARE, WORST_SHARE) for s in scores]
    figures |= pooled_figures(scores, own, "_chosen_by_others")
    series = [_series(case, looks[testers[case.case.name]], testers[case.case.name], config) for case in cases.series]
    return LookResults(
        command=COMMAND,
        protocol=PROTOCOL,
        networks={name: run.weights for name, run in runs.items()},
        filter_digest=next(iter(runs.values())).filter_digest,
        classifier_digest=read_verified(CLASSIFIER, Manifest)[1],
        rule=RULE,
        plantings=sum(len(s.planted) for s in scores),
        patients=len({owner for s in scores for owner in s.planted_owners}),
        slice_point=ScanPoint(
            per="slice",
            listed_from=min(listed_score(scores, LISTED_PER_SLICE), chosen_score(scores, OPEN_SHARE, 1.0)),
            open_from=min(chosen_score(scores, OPEN_SHARE, 1.0), suspected),
            suspected_from=suspected,
            chosen_for=f"at most {SUSPECTED_SHARE:.0%} of slices without lesion over {len(scores)} scans and "
            f"{WORST_SHARE:.0%} of any scan's suspected, {OPEN_SHARE:.0%} suspected or open, {LISTED_PER_SLICE:g} "
            "false findings listed a slice; sensitivity for planted suspicious solid nodules of 6 mm and more",
            sensitivity=figures["planted"],
            false_alarms=figures["false_alarms"],
            scans=len(scores),
            nodules=sum(len(s.planted) for s in scores),
        ),
        series_point=series_point(series),
        figures=figures,
        pooled=curve(scores),
        scans=tuple(_scan_figures(s, testers[s.name], other, suspected) for s, other in zip(scores, own, strict=True)),
        series=tuple(series),
        chest=tuple(_chest_row(case, config.part_tester(case.part), looks) for case in cases.chest),
    )


def _scan_figures(scores: SliceScores, network: str, own: float, shipped: float) -> ScanFigures:
    return ScanFigures(
        scan=scores.name,
        network=network,
        slices=int(scores.lesion_free.sum()),
        slices_with_lung=len(scores.false),
        plantings=len(scores.planted),
        native_nodules=len(scores.native),
        passed_per_slice=float(np.mean([len(s) for s in scores.false])),
        chosen_by_others=own,
        at_own_score=curve_point([scores], own),
        at_shipped_score=curve_point([scores], shipped),
        curve=curve([scores]),
    )


def _series(case: SeriesCase, look: Looks, network: str, config: LookConfig) -> SeriesFigures:
    false, known = case.false_and_known(series_scores(case, look, RULE))
    marked = [np.array(lesion.centre_mm) for lesion in config.scans[case.case.name].lesions]
    return SeriesFigures(
        scan=case.case.name,
        network=network,
        candidates=len(case.case.lesion),
        lesions=tuple(
            KnownLesion(
                position_mm=tuple(round(float(v), 1) for v in lesion.position_mm),
                diameter_mm=round(lesion.diameter_mm, 1),
                readers=lesion.readers,
                suspicious=any(np.linalg.norm(lesion.position_mm - at) < SAME_LESION_MM for at in marked),
                score=score if np.isfinite(score) else None,
            )
            for lesion, score in zip(case.case.lesions, known, strict=True)
        ),
        false_scores=tuple(false[:SHOWN_FALSE].tolist()),
    )


def _chest_row(case: ChestCase, network: str, looks: Mapping[str, Looks]) -> ChestRow:
    top, mark = best(case.found, looks[network]), best(case.found, looks[network], on=True)
    return ChestRow(
        file=case.file,
        region=case.region,
        reading=case.reading,
        network=network,
        score=top if np.isfinite(top) else None,
        at_mass=mark if np.isfinite(mark) else None,
    )


def look_of(network: NetworkBackend) -> Looks:
    """A network as a function of fields."""

    def look(fields: Fields) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        said = network.run(fields)
        return said["suspicious"], said["nodule"]

    return look


def main() -> None:
    """Parse arguments, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "networks", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, help="folder for contact sheets")
    given = parser.parse_args()
    _, shipped = read_network(given.networks, SHIPPED)
    read = {name: read_network(given.networks, name) for name in shipped.config.networks}
    manifest, _ = read_verified(FILTER, DetectorManifest)
    second = manifest.second_reader
    gate = Gate(
        spec=manifest.input.patch_spec,
        ask=filter_of(FILTER),
        slice_from=manifest.slice_threshold.score if second is None else second.from_score,
        series_from=manifest.series_threshold.score,
        contract=shipped.config.input,
    )
    cases = read_cases(given.data, shipped.config, gate)
    looks = {name: look_of(look_backend(network)) for name, (network, _) in read.items()}
    results = measure(cases, looks, {name: run for name, (_, run) in read.items()}, shipped.config)
    given.out.write_text(results.model_dump_json(indent=1) + "\n", "utf-8")
    if given.pictures is not None:
        draw_pictures(given.pictures, cases, looks, results, shipped.config)
    tables = (figures_table(results), scans_table(results), curve_table(results.pooled), series_table(results.series))
    sys.stdout.write("\n\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
