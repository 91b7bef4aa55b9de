"""The recurrent network over slices behind the classifier's own outlines: nodules with their surroundings, whole scans.

    python -m benchmarks.sequence --data DIR --trained runs/sequence --out docs/results/sequence_context.json

Networks are those that left out the patient. There are too few nodules to claim anything.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from app.cli.models import verified_opinions, verified_registry
from app.imaging.ct import Orientation, SliceSource
from app.imaging.volume import CTVolume
from app.imaging.volume_candidates import VolumeCandidate
from app.inference.bundle import Interval
from app.inference.model import Model
from app.inference.prediction import Finding
from app.inference.registry import Models
from app.inference.second_opinion import MIN_SLICES, opinion_on, outlined_slices
from app.inference.sections import outlines_of
from app.inference.sequence import OUTPUT, MaskedSlice, NoduleSequence
from app.inference.series import diagnose_volume
from app.settings import Settings
from benchmarks.scan.cubes import CUBE_MM, Cube, read_cubes
from training.data.datasets import read_dataset
from training.data.nodules import FOLDS
from training.data.scans import read_volume
from training.evaluation.calibration import sigmoid
from training.evaluation.metrics import auc, bootstrap_all
from training.fitting.network_backend import NetworkBackend, Outputs
from training.second_look.config import load_look_config
from training.sequence.artefacts import SHIPPED, TrainedSequences, read_sequences
from training.sequence.fit import logits
from training.sequence.stacks import MIN_READERS
from training.sequence.study import Line, read_results

COMMAND: Final = (
    "python -m benchmarks.sequence --data DIR --trained runs/sequence --out docs/results/sequence_context.json"
)
PROTOCOL: Final = (
    "Each nodule by the network that left out its patient's fold. The outlines as served are those of the shipped "
    "classifier, which has seen the LIDC nodules. Cubes: 51 mm around 99 nodules, from another tool and interpolated "
    "to 1 mm; judged are those with three readers and more whose median is not 3. Intervals are 95 % of resamples of "
    "patients. Few nodules: nothing is claimed."
)
SCANS: Final = {"lidc-0012": "fold4", "lidc-0001": "fold1", "cptac-c3n-00247": SHIPPED}
AXIAL: Final = Orientation((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CubeFigures(_Frozen):
    """`auc` by what was read, of the judged cubes that have an opinion behind both kinds of outlines. `area_ratio` is
    that of the outlines as served, drawn in, to the reader's: lower quartile, median, upper quartile."""

    cubes: int
    judged: int
    suspicious: int
    without_opinion: int
    auc: dict[str, Interval]
    area_ratio: tuple[float, float, float]


class ScanFinding(_Frozen):
    """One finding of a scan: what it counts for, what the classifier says and what the second opinion is."""

    suspicion: str | None
    known: bool
    diameter_mm: float | None
    classifier: float | None
    second_opinion: float | None
    slices: int
    reason: str | None


class ContextResults(_Frozen):
    """`docs/results/sequence_context.json`."""

    command: str
    protocol: str
    cubes: CubeFigures
    scans: dict[str, list[ScanFinding]]


def sequence_backend(network: Any, line: Line) -> NetworkBackend:
    """A trained network as the service runs one: stacks to calibrated probabilities (N,)."""

    def answer(hu: NDArray[np.float32]) -> Outputs:
        _, together = logits(network, hu)
        return {OUTPUT: sigmoid(line.slope * together + line.intercept).astype(np.float32)}

    return NetworkBackend(answer)


@dataclass(frozen=True, slots=True)
class Opinions:
    """The networks by name, each as the shipped bundle would be served."""

    shipped: NoduleSequence
    trained: TrainedSequences
    line: Line

    def network(self, name: str) -> NoduleSequence:
        """One of them."""
        backend = sequence_backend(self.trained.networks[name], self.line)
        return NoduleSequence(self.shipped.path, self.shipped.manifest, self.shipped.digest, backend)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--trained", type=Path, required=True, help="the folder that scripts/sequence.py train wrote")
    parser.add_argument("--results", type=Path, default=Path("docs/results/sequence.json"))
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    settings = Settings(threads=1)
    registry, shipped = verified_registry(settings), verified_opinions(settings).network
    if shipped is None:
        parser.error("there is no bundle: scripts/sequence.py export writes it")
    registry.load()
    models = registry.models()
    opinions = Opinions(shipped, read_sequences(given.trained), read_results(given.results).calibration)
    results = ContextResults(
        command=COMMAND,
        protocol=PROTOCOL,
        cubes=of_cubes(given.data, models.classifier, opinions),
        scans={name: list(of_scan(given.data, name, models, opinions)) for name in SCANS},
    )
    given.out.write_text(results.model_dump_json(indent=1) + "\n", "utf-8")


def of_cubes(data: Path, model: Model, opinions: Opinions) -> CubeFigures:
    """What both kinds of outlines lead to."""
    dataset = read_dataset(data)
    rows, ratios, cubes, judged = [], [], 0, 0
    for fold in range(FOLDS):
        network = opinions.network(f"fold{fold}")
        for cube in read_cubes(data, dataset.nodules, fold):
            cubes += 1
            read, served = slices_of(cube), served_slices(cube, model, network)
            if min(len(read), len(served)) >= MIN_SLICES:
                ratios.append(sum(s.area_mm2 for s in served) / sum(s.area_mm2 for s in read))
            if cube.nodule.readers < MIN_READERS or cube.nodule.suspicion == "indeterminate":
                continue
            judged += 1
            if min(len(read), len(served)) >= MIN_SLICES:
                own = (network.probability(read), network.probability(served), max(s.area_mm2 for s in read))
                rows.append((cube.nodule.patient, cube.nodule.suspicion == "suspicious", *own))
    y = np.array([row[1] for row in rows])
    ways = ("readers_outlines", "outlines_as_served", "largest_area")
    scores = {way: np.array([row[2 + k] for row in rows]) for k, way in enumerate(ways)}
    low, middle, high = np.percentile(ratios, (25, 50, 75)).tolist()
    return CubeFigures(
        cubes=cubes,
        judged=judged,
        suspicious=int(y.sum()),
        without_opinion=judged - len(rows),
        auc=bootstrap_all(
            {way: lambda k, s=s: auc(y[k], s[k]) for way, s in scores.items()},  # type: ignore[misc]
            [row[0] for row in rows],
            opinions.trained.run.config.evaluation.resamples,
            opinions.trained.run.config.seed,
        ),
        area_ratio=(low, middle, high),
    )


def slices_of(cube: Cube) -> list[MaskedSlice]:
    """A cube's slices within the reader's outline."""
    there = np.flatnonzero(cube.mask.any(axis=(1, 2))).tolist()
    return [MaskedSlice(cube.hu[k].astype(np.float32), cube.mask[k], (CUBE_MM, CUBE_MM), k * CUBE_MM) for k in there]


def served_slices(cube: Cube, model: Model, network: NoduleSequence) -> list[MaskedSlice]:
    """A cube's slices within the outlines that series mode draws for a candidate in the nodule's middle."""
    slice_position, row, column = np.argwhere(cube.mask).mean(axis=0).tolist()
    candidate = VolumeCandidate(slice_position, (column, row), cube.diameter_mm, 0.0)
    volume = volume_of(cube)
    return outlined_slices(outlines_of(volume, candidate, model), volume, network.manifest.input.inset_px)


def volume_of(cube: Cube) -> CTVolume:
    """A cube as a series of its own."""
    slices, rows, columns = cube.hu.shape
    return CTVolume(
        hu=cube.hu,
        spacing_mm=(CUBE_MM,) * 3,
        orientation=AXIAL,
        positions_mm=tuple((0.0, 0.0, k * CUBE_MM) for k in range(slices)),
        sources=(SliceSource(kind="array", rows=rows, columns=columns),) * slices,
    )


def of_scan(data: Path, name: str, models: Models, opinions: Opinions) -> Iterator[ScanFinding]:
    """Every finding of a scan as served, with the opinion of a network that has not seen it."""
    volume = models.view.remarked_volume(read_volume(data / "series" / name))
    lesions = load_look_config(Path("training/configs/second_look.toml")).scans[name].lesions
    prediction = diagnose_volume(
        volume, models.classifier, models.detector, models.second_look, lambda _stage, _done, _of: None, lambda: False
    )
    network = opinions.network(SCANS[name])
    for finding in prediction.findings:
        opinion = opinion_on(finding, volume, network)
        yield ScanFinding(
            suspicion=finding.suspicion,
            known=any(_lies_in(finding, lesion.centre_mm, lesion.diameter_mm) for lesion in lesions),
            diameter_mm=finding.diameter_mm,
            classifier=finding.probability,
            second_opinion=opinion.probability,
            slices=opinion.slices,
            reason=opinion.reason,
        )


def _lies_in(finding: Finding, centre_mm: tuple[float, float, float], diameter_mm: float) -> bool:
    place = finding.center_mm
    return place is not None and float(np.linalg.norm(np.subtract(place, centre_mm))) <= diameter_mm / 2


if __name__ == "__main__":
    main()
