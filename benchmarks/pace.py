"""What judging a slice and a series costs, stage by stage, beside another checkout of the project.

    python -m benchmarks.pace DATA --before CHECKOUT --out docs/results/pace.json --page docs/benchmarks.md

CHECKOUT is measured by its own code and models with this environment's packages, in turn with this one, each turn in a
process of its own. Figures are milliseconds of processor time of the thread that judges, the least of a turn, so that
other programs change them little; a ratio is the median of the ratios of neighbouring turns. Answers are compared: the
largest difference of any score or probability of a series.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import cv2
import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGLSLossless, RLELossless

from app.imaging.candidates import find_candidates
from app.imaging.lungs import segment_lungs
from app.imaging.options import ReadOptions
from app.imaging.pixel_stack import SeriesLimits
from app.imaging.read import quiet_decoders, read_slice
from app.imaging.series import SeriesBuilder
from app.imaging.volume_candidates import find_volume_candidates
from app.imaging.volume_lungs import segment_volume
from app.inference.diagnose import diagnose
from app.inference.registry import Backends, BundleNames, ModelRegistry
from app.inference.series import diagnose_volume
from benchmarks.serving import machine
from benchmarks.serving.report import filled

MARK: Final = "<!-- figures: python -m benchmarks.pace -->"
REPOSITORY: Final = Path(__file__).parents[1]
SERIES: Final = "series/lidc-0012"
ROI_PX: Final = (390.0, 216.0)  # the nodule of 7 mm on slice 53
NODULE_SLICE: Final = 53
TURNS: Final = 4
SYNTAXES: Final = {
    "explicit VR": ExplicitVRLittleEndian,
    "implicit VR": ImplicitVRLittleEndian,
    "RLE": RLELossless,
    "JPEG-LS": JPEGLSLossless,
}
NAMES: Final = BundleNames("nodule-classifier", "nodule-detector", "nodule-suspicion", "chest-view")

Timings = dict[str, float]


def least_ms(work: Callable[[], Any], times: int) -> tuple[float, Any]:
    """The least processor time of this thread, and what the work gave."""
    best, given = float("inf"), None
    for _ in range(times):
        started = time.thread_time()
        given = work()
        best = min(best, time.thread_time() - started)
    return best * 1000, given


def encoded(dataset: pydicom.Dataset) -> Iterator[tuple[str, bytes]]:
    """One slice in each of SYNTAXES."""
    for name, syntax in SYNTAXES.items():
        copy = pydicom.dcmread(io.BytesIO(_written(dataset)))
        if syntax.is_encapsulated:
            copy.compress(syntax)
        copy.file_meta.TransferSyntaxUID = syntax
        yield name, _written(copy)


def _written(dataset: pydicom.Dataset) -> bytes:
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def one_turn(series: Path) -> tuple[Timings, list[float]]:
    """Timings of the code that is imported, and what it says of the series' findings."""
    quiet_decoders()
    cv2.setNumThreads(1)
    registry = ModelRegistry.verified(Path("models"), NAMES, Backends.create("openvino", 1))
    registry.load()
    models = registry.models()
    files = sorted(series.glob("*.dcm"))
    builder = SeriesBuilder(SeriesLimits(), ReadOptions())
    for file in files:
        builder.add(file.read_bytes())
    volume = builder.build()
    data = sorted(files, key=lambda file: float(pydicom.dcmread(file).ImagePositionPatient[2]))[
        NODULE_SLICE
    ].read_bytes()
    ct_slice = read_slice(data)
    judges = (models.classifier, models.detector, models.second_look)
    ms: Timings = {}
    ms["series: lungs"], lungs = least_ms(lambda: segment_volume(volume), 3)
    ms["series: candidates"], candidates = least_ms(lambda: find_volume_candidates(volume, lungs), 3)
    ms["series: filter"], sums = least_ms(lambda: models.detector.score_volume(volume, candidates), 2)
    ms["series: all of judging"], said = least_ms(
        lambda: diagnose_volume(volume, *judges, lambda *_: None, lambda: False), 2
    )
    ms["slice: candidates"], _ = least_ms(lambda: find_candidates(ct_slice, segment_lungs(ct_slice)), 10)
    ms["slice: all of judging"], _ = least_ms(lambda: diagnose(ct_slice, None, *judges), 10)
    ms["roi: all of judging"], _ = least_ms(lambda: diagnose(ct_slice, ROI_PX, *judges), 20)
    for name, written in encoded(pydicom.dcmread(io.BytesIO(data))):
        ms[f"reading: {name}"], _ = least_ms(partial(read_slice, written), 30)
    answers = [*np.sort(sums).tolist(), *(float(f.probability or 0) for f in said.findings)]
    return ms, answers


def turn_of(checkout: Path, series: Path) -> tuple[Timings, list[float]]:
    """One turn of a checkout, in a process of its own."""
    # The checkout's own modules first: what it lacks of this benchmark is this one's.
    program = f"import runpy, sys; sys.path[:0] = {[str(checkout), str(REPOSITORY)]}; "
    program += f"sys.argv = ['pace', {str(series)!r}, '--turn']; runpy.run_path({__file__!r}, run_name='__main__')"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    timings, answers = json.loads(done.stdout.splitlines()[-1])
    return timings, answers


def compared(here: Sequence[Timings], before: Sequence[Timings]) -> dict[str, dict[str, float]]:
    """By stage: medians of both, the median of the ratios of neighbouring turns, and their range."""
    figures = {}
    for stage in here[0]:
        ratios = [new[stage] / old[stage] for new, old in zip(here, before, strict=True)]
        figures[stage] = {
            "before_ms": round(median(turn[stage] for turn in before), 2),
            "now_ms": round(median(turn[stage] for turn in here), 2),
            "ratio": round(median(ratios), 3),
            "lowest": round(min(ratios), 3),
            "highest": round(max(ratios), 3),
        }
    return figures


def measured(series: Path, before: Path, before_name: str) -> dict[str, Any]:
    """TURNS of both checkouts, in turn."""
    pairs = [(turn_of(REPOSITORY, series), turn_of(before, series)) for _ in range(TURNS)]
    (_, answers), (_, answers_before) = pairs[-1]
    alike = len(answers) == len(answers_before)
    return {
        "command": "python -m benchmarks.pace DATA --before CHECKOUT",
        "machine": machine.facts(),
        "before": before_name,
        "turns": TURNS,
        "largest_difference": float(np.abs(np.subtract(answers, answers_before)).max()) if alike else None,
        "stages": compared([timings for (timings, _), _ in pairs], [timings for _, (timings, _) in pairs]),
    }


def told(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    rows = ["| | before, ms | now, ms | ratio | range |", "|---|---|---|---|---|"]
    for name, f in results["stages"].items():
        rows.append(
            f"| {name} | {f['before_ms']} | {f['now_ms']} | **{f['ratio']}** | {f['lowest']} to {f['highest']} |"
        )
    difference = results["largest_difference"]
    if difference is None:
        answers = "the series has other candidates or findings"
    elif difference == 0:
        answers = "every score and probability of the series is the same to the last bit"
    else:
        answers = f"scores and probabilities of the series differ by at most {difference:.2g}"
    return f"Beside commit {results['before']}, {results['turns']} turns; {answers}.\n\n" + "\n".join(rows)


def main() -> None:
    """Parse arguments, measure in turn, write figures and page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--turn", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--before", type=Path, help="the other checkout")
    parser.add_argument("--before-name", default="", help="what the page calls it: a commit")
    for name in ("out", "page"):
        parser.add_argument(f"--{name}", type=Path)
    given = parser.parse_args()
    if given.turn:
        sys.stdout.write(json.dumps(one_turn(given.data)) + "\n")
        return
    if given.before is None:
        parser.error("--before is missing")
    series = (given.data / SERIES).resolve()
    results = measured(series, given.before.resolve(), given.before_name)
    if given.out:
        given.out.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    if given.page:
        given.page.write_text(filled(given.page.read_text("utf-8"), told(results), MARK), "utf-8")
    sys.stdout.write(told(results) + "\n")


if __name__ == "__main__":
    main()
