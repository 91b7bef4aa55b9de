"""What is said of whole slices and series.

    python -m benchmarks.scan DATA --networks DIR --views DIR --classifiers DIR --out docs/results/scan.json

DATA is the folder of the development data. The networks of cross-fitting are those of the second look
(`scripts/second_look.py train`) and of the view check (`make sight`); each is asked only about what it has not seen.
`--only` measures some parts and keeps the others as FILE has them. `--pictures DIR` draws every false finding and miss
there; they show data that may not be passed on. `--page` replaces the tables of docs/scan.md. Deterministic.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final, TypeVar

from app.imaging.read import quiet_decoders
from benchmarks.scan import agreement, chest_slices, curves, false_alarms, planted_series, planted_slices, reformats
from benchmarks.scan.cubes import read_cubes
from benchmarks.scan.known import SCANS, KnownScan, read_known
from benchmarks.scan.networks import Panel
from benchmarks.scan.pictures import Sheet
from benchmarks.scan.results import PARTS, ScanResults
from benchmarks.scan.tables import page_of, tables
from training.data.datasets import read_dataset
from training.data.nodules import Nodule

COMMAND: Final = (
    "python -m benchmarks.scan DATA --networks DIR --views DIR --classifiers DIR --out docs/results/scan.json"
)
T = TypeVar("T")
BEFORE: Final = Path("docs/results/scan_before.json")


@dataclass(frozen=True)
class Bench:
    """The data, who judges, and where pictures go; each is read when it is first needed."""

    data: Path
    networks: Path
    views: Path | None
    classifiers: Path
    pictures: Path | None
    most: int | None

    @cached_property
    def panel(self) -> Panel:
        """The cross-fitted networks."""
        return Panel.read(self.networks, self.views, self.classifiers)

    @cached_property
    def scans(self) -> tuple[KnownScan, ...]:
        """All of SCANS."""
        return tuple(read_known(self.data, name) for name in SCANS)

    @cached_property
    def nodules(self) -> tuple[Nodule, ...]:
        """Those of the development data."""
        return read_dataset(self.data).nodules

    @cached_property
    def patients(self) -> list[str]:
        """Those of the chest slices."""
        with (self.data / chest_slices.FOLDER / "slices.csv").open(encoding="utf-8") as stream:
            return sorted({row["patient"] for row in csv.DictReader(stream)})

    def drawn(self, part: str, measured: Callable[[Sheet], T]) -> T:
        """Measure, and write what went onto the part's sheet."""
        sheet = Sheet(part)
        result = measured(sheet)
        if self.pictures is not None:
            sheet.write(self.pictures)
        return result

    def chest_slices(self) -> Mapping[str, Any]:
        """Row by row."""
        judge_of = partial(self.panel.of_patient, patients=self.patients)
        return {"chest_slices": self.drawn("chest", lambda sheet: chest_slices.measure(self.data, judge_of, sheet))}

    def false_alarms(self) -> Mapping[str, Any]:
        """Where nothing is."""
        return {
            "false_alarms": self.drawn(
                "false-alarms", lambda s: false_alarms.measure(self.scans, self.panel.of_scan, s)
            )
        }

    def planted_series(self) -> Mapping[str, Any]:
        """Cubes through all slices."""

        def one(known: KnownScan) -> planted_series.PlantedSeries:
            cubes = read_cubes(self.data, self.nodules, known.role.planted_fold)
            judge = self.panel.of_scan(known.name)
            part = f"series-{known.name}"
            return self.drawn(part, lambda sheet: planted_series.measure(known, cubes, judge, sheet, self.most))

        return {"planted_series": tuple(one(known) for known in self.scans)}

    def planted_slices(self) -> Mapping[str, Any]:
        """Nodules and masses on slices, and the curves."""

        def one(known: KnownScan) -> planted_slices.PlantedSlices:
            nodules = [n for n in self.nodules if n.fold == known.role.planted_fold]
            judge = self.panel.of_scan(known.name)
            part = f"slices-{known.name}"
            return self.drawn(part, lambda sheet: planted_slices.measure(known, nodules, judge, sheet, self.most))

        planted = tuple(one(known) for known in self.scans)
        return {"planted_slices": planted, "curve": curves.curve(planted), "by_others": curves.by_others(planted)}

    def agreement(self) -> Mapping[str, Any]:
        """The three ways of asking."""

        def every(sheet: Sheet) -> tuple[agreement.PlaceSaid, ...]:
            said = (agreement.measure(known, self.panel.of_scan(known.name), sheet) for known in self.scans)
            return tuple(place for places in said for place in places)

        return {"agreement": self.drawn("agreement", every)}

    def reformats(self) -> Mapping[str, Any]:
        """Other planes, scales and parts."""
        cut = (
            one
            for known in self.scans
            for one in reformats.cuts(known, self.data / known.role.config.folder, self.panel.of_scan(known.name))
        )
        own = self.data / SCANS["lidc-0001"].config.folder
        scaled = reformats.cases(self.data, SCANS[reformats.SCALED].config, self.panel.of_scan(reformats.SCALED), own)
        return {"reformats": reformats.Reformats(cuts=tuple(cut), cases=tuple(scaled))}


def main() -> None:
    """Parse arguments, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--networks", type=Path, required=True)
    parser.add_argument("--views", type=Path, help="the view check's networks; without it nothing asks for a chest")
    parser.add_argument("--classifiers", type=Path, required=True, help="of benchmarks.fold_classifiers")
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--most", type=int, help="series, and plantings of a kind, of each scan: to try it out")
    parser.add_argument("--pictures", type=Path, help="folder for contact sheets")
    parser.add_argument("--page", type=Path, help="Markdown file whose tables are replaced")
    given = parser.parse_args()
    quiet_decoders()
    bench = Bench(given.data, given.networks, given.views, given.classifiers, given.pictures, given.most)
    results = ScanResults.read(given.out) if given.out.is_file() else ScanResults(command=COMMAND, networks={})
    for part in given.only:
        update = {**getattr(bench, part)(), "networks": bench.panel.weights, "bundles": bench.panel.bundles}
        results = results.model_copy(update=update)
        given.out.write_text(results.model_dump_json(indent=1) + "\n", "utf-8")
    text = tables(results, ScanResults.read(BEFORE) if BEFORE.is_file() else None)
    if given.page is not None:
        given.page.write_text(page_of(given.page.read_text("utf-8"), text), "utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
