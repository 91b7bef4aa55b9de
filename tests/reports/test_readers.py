"""Readers of others make measurements, volumes and maps of what is written: dcmjs, Cornerstone's adapters, dcmqi."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from app.inference.bundle import Bundle
from app.inference.prediction import Finding
from app.reports import codes
from app.reports.compared import ComparedReport
from app.reports.comparison_report import write_comparison_report
from app.reports.dicom import to_bytes
from app.reports.figures import significant
from app.reports.report import Report
from tests.conftest import REPOSITORY
from tests.reports.cases import DECISIONS, series_report, slice_report
from tests.reports.compared_cases import compared_pair, written_pair
from tests.reports.conftest import absent, tool
from tests.reports.written import Make, Written

pytestmark = pytest.mark.interop

SR_READERS: Final = Path(os.environ.get("LUNGSCOPE_SR_READERS", REPOSITORY / "build" / "interop" / "readers"))
DCMQI: Final = Path(os.environ.get("LUNGSCOPE_DCMQI", REPOSITORY / "build" / "interop" / "dcmqi"))
CASES: Final[list[tuple[Make, Any]]] = [(make, of) for make in (slice_report, series_report) for of in DECISIONS]
BIDIRECTIONAL: Final = "Bidirectional"


@pytest.fixture(scope="module")
def read(written: Written, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Report, dict[str, Any]]]:
    """Every report, and what dcmjs and the adapters make of it, in one process."""
    folder = tmp_path_factory.mktemp("reports")
    paths = [folder / f"{number}.dcm" for number in range(len(CASES))]
    for path, case in zip(paths, CASES, strict=True):
        path.write_bytes(written(*case).files[0])
    return [(written(*case).report, each) for case, each in zip(CASES, measurements(paths), strict=True)]


def measurements(paths: Sequence[Path]) -> Any:
    """What dcmjs and the adapters make of some reports, in one process."""
    if not (SR_READERS / "node_modules").is_dir():
        absent(f"dcmjs and Cornerstone's adapters not found: {SR_READERS} (make interop-tools)")
    # Imported from where its packages are.
    command = [tool("node", "nodejs"), str(SR_READERS / "measurements.mjs"), *map(str, paths)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def sized(report: Report) -> list[Finding]:
    return [finding for finding in report.findings if finding.size is not None]


@pytest.mark.parametrize("reader", ["dcmjs", "adapters"])
def test_every_finding_with_a_size_is_a_measurement(reader: str, read: list[tuple[Report, dict[str, Any]]]) -> None:
    corner = {"dcmjs": 0.5, "adapters": 0.0}[reader]  # the adapters turn corners into middles of pixels
    for report, said in read:
        found = [each for each in said[reader] if each["tool"] == BIDIRECTIONAL]
        assert len(found) == len(sized(report))
        for measurement, finding in zip(found, sized(report), strict=True):
            assert finding.size is not None
            axes = finding.size.axes
            assert measurement["image"] == report.sources[report.index_of(finding)].sop_instance_uid
            assert (measurement["long"], measurement["short"]) == (
                significant(axes.long_mm),
                significant(axes.short_mm),
            )
            assert measurement["start"] == pytest.approx([at + corner for at in axes.long_px[0]], abs=1e-4)


def test_the_adapters_know_which_finding_it_is_and_where(read: list[tuple[Report, dict[str, Any]]]) -> None:
    for report, said in read:
        found = [each for each in said["adapters"] if each["tool"] == BIDIRECTIONAL]
        for measurement, finding in zip(found, sized(report), strict=True):
            assert measurement["label"] == f"Finding {finding.id}"
            assert measurement["uid"] == report.tracking_uid(finding)
            assert measurement["sites"] == [codes.site_code(finding.location).value]


@pytest.fixture
def series(written: Written, tmp_path: Path) -> tuple[Report, dict[str, Path]]:
    """A report on a series, and its files by the first word of their SOP class."""
    files = written(series_report, "cancer_suspected")
    report, objects = files.by_class()
    paths: dict[str, Path] = {}
    for data, instance in zip(files.files, [each for kind in objects.values() for each in kind], strict=True):
        paths[instance.SOPClassUID.name.split()[0]] = tmp_path / f"{instance.SOPInstanceUID}.dcm"
        (tmp_path / f"{instance.SOPInstanceUID}.dcm").write_bytes(data)
    return report, paths


def dcmqi(program: str, *arguments: str) -> str:
    """What a program of dcmqi says."""
    if not (DCMQI / "dcmqi").is_dir():
        absent(f"dcmqi not found: {DCMQI} (make interop-tools)")
    run = f"import sys, dcmqi; sys.exit(dcmqi._program({program!r}, sys.argv[1:]))"
    environment = os.environ | {"PYTHONPATH": str(DCMQI)}
    said = subprocess.run(
        [sys.executable, "-c", run, *arguments], capture_output=True, text=True, check=True, env=environment
    )
    return said.stdout + said.stderr


def test_dcmqi_reads_measurements(series: tuple[Report, dict[str, Path]], tmp_path: Path) -> None:
    report, paths = series
    dcmqi("tid1500reader", "--inputDICOM", str(paths["Comprehensive"]), "--outputMetadata", str(tmp_path / "sr.json"))
    groups = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    assert len(groups) == 1 + len(report.findings) + len(sized(report))
    assert groups[0]["Finding"]["CodeValue"] == "162573006"
    items = [item for group in groups for item in group["measurementItems"]]
    lengths = [float(item["value"]) for item in items if item["quantity"]["CodeMeaning"] == codes.LONG_AXIS.meaning]
    assert lengths == [significant(f.size.axes.long_mm) for f in sized(report) if f.size]


def test_dcmqi_reads_outlines_and_map(series: tuple[Report, dict[str, Path]], tmp_path: Path) -> None:
    report, paths = series
    for program, kind in (("segimage2itkimage", "Segmentation"), ("paramap2itkimage", "Parametric")):
        dcmqi(program, "--inputDICOM", str(paths[kind]), "--outputDirectory", str(tmp_path), "--prefix", kind)
    segments = json.loads((tmp_path / "Segmentation-meta.json").read_text())["segmentAttributes"]
    assert [each["SegmentLabel"] for (each,) in segments] == [f"Finding {f.id}" for f in sized(report)]
    assert (tmp_path / "Parametric-pmap.nrrd").stat().st_size


@pytest.fixture(scope="module")
def comparison(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> tuple[ComparedReport, Path]:
    """A comparison with guidelines, and its structured report."""
    report = written_pair(compared_pair(bundle))
    path = tmp_path_factory.mktemp("comparison") / "comparison.dcm"
    path.write_bytes(to_bytes(write_comparison_report(report)))
    return report, path


@pytest.mark.parametrize("reader", ["dcmjs", "adapters"])
def test_of_a_comparison_the_current_findings_are_measurements(
    reader: str, comparison: tuple[ComparedReport, Path]
) -> None:
    """And those alone: a viewer that shows the current series has no picture of the prior one."""
    report, path = comparison
    (said,) = measurements([path])
    found = [each for each in said[reader] if each["tool"] == BIDIRECTIONAL]
    instances = [report.current.sources[report.current.index_of(f)].sop_instance_uid for f in report.current.findings]
    assert [each["image"] for each in found] == instances


def test_dcmqi_reads_a_comparison(comparison: tuple[ComparedReport, Path], tmp_path: Path) -> None:
    report, path = comparison
    dcmqi("tid1500reader", "--inputDICOM", str(path), "--outputMetadata", str(tmp_path / "sr.json"))
    groups = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    shown = len(report.current.findings) * 2 + len(report.prior.findings) + len(report.nodules)
    assert len(groups) == 1 + shown
