"""What the judge says of its own work: which models answered, how long each stage took, what is counted."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.errors import MalformedDicom
from app.inference.series import Cancelled
from app.judgement.judge import Judge, Judgement
from app.judgement.parameters import Parameters, parse_parameters
from app.telemetry import Metrics
from phantoms.series import NODULE, SLICES, slice_file

AT_NODULE = parse_parameters({"roi": ",".join(map(str, NODULE.centre_px))})


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """The files of a series in spatial order."""
    paths = [tmp_path / f"{index:02d}.dcm" for index in range(SLICES)]
    for index, path in enumerate(paths):
        path.write_bytes(slice_file(index))
    return paths


def quiet(_stage: str, _done: int, _of: int) -> None:
    pass


def series(judge: Judge, paths: list[Path]) -> Judgement:
    return judge.files(paths, Parameters(), quiet, lambda: False)


def test_detector_is_named_where_it_searched(judge: Judge, paths: list[Path]) -> None:
    data = paths[8].read_bytes()
    models = judge.registry.models()
    assert judge.slice(data, AT_NODULE).detector is None
    assert judge.slice(data, Parameters()).detector is models.detector
    assert series(judge, paths).detector is models.detector
    assert series(judge, paths).second_look is models.second_look


def test_report_knows_what_searched_or_what_was_pointed_at(judge: Judge, paths: list[Path]) -> None:
    data = paths[8].read_bytes()
    pointed, searched = (judge.slice(data, parameters) for parameters in (AT_NODULE, Parameters()))
    written = datetime(2026, 1, 1, tzinfo=UTC)
    assert pointed.report((), written).roi_px == NODULE.centre_px
    assert pointed.report((), written).searched == {}
    assert searched.report((), written).roi_px is None
    assert searched.report((), written).searched == {
        "detector": judge.registry.detector_bundle.digest,
        "second_look": judge.registry.second_look_bundle.digest,
    }


def test_stages_of_a_slice_are_those_of_its_prediction(judge: Judge, paths: list[Path]) -> None:
    judged = judge.slice(paths[8].read_bytes(), AT_NODULE)
    timing = judged.prediction.timing
    assert (judged.timing_ms["search"], judged.timing_ms["infer"]) == (timing.search_ms, timing.infer_ms)
    assert judged.timing_ms["total"] >= sum(judged.timing_ms[stage] for stage in ("decode", "search", "infer"))


def test_total_begins_with_the_request(judge: Judge, paths: list[Path]) -> None:
    an_hour_ago = time.perf_counter() - 3600
    assert judge.slice(paths[8].read_bytes(), AT_NODULE, an_hour_ago).timing_ms["total"] >= 3_600_000
    volume = series(judge, paths).image
    judged = judge.series(volume, Parameters(), 5.0, quiet, lambda: False, an_hour_ago)  # type: ignore[arg-type]  # a volume
    assert (judged.timing_ms["decode"], judged.timing_ms["total"] >= 3_600_000) == (5.0, True)


def test_a_judgement_is_counted_once(judge: Judge, metrics: Metrics, paths: list[Path]) -> None:
    judge.slice(paths[8].read_bytes(), AT_NODULE)
    series(judge, paths)
    told = metrics.text().decode()
    assert 'lungscope_decisions_total{decision="cancer_suspected"} 2.0' in told
    assert 'lungscope_stage_seconds_count{stage="total"} 1.0' in told
    assert 'lungscope_series_stage_seconds_count{stage="total"} 1.0' in told
    assert "lungscope_series_slices_count 1.0" in told
    assert f"lungscope_series_slices_sum {SLICES}.0" in told


def test_files_are_told_as_they_are_read(judge: Judge, paths: list[Path]) -> None:
    told: list[tuple[int, int]] = []

    def tell(stage: str, done: int, of: int) -> None:
        if stage == "read":
            told.append((done, of))

    judge.files(paths, Parameters(), tell, lambda: False)
    assert told == [(done, SLICES) for done in range(1, SLICES + 1)]


def test_cancelled_files_are_not_read_on(judge: Judge, paths: list[Path]) -> None:
    told: list[int] = []
    with pytest.raises(Cancelled):
        judge.files(paths, Parameters(), lambda _stage, done, _of: told.append(done), lambda: len(told) == 3)
    assert told == [1, 2, 3]


def test_files_are_named_only_by_who_may_name_them(judge: Judge, paths: list[Path]) -> None:
    paths[5].write_bytes(slice_file(5)[:20_000])
    with pytest.raises(MalformedDicom) as nameless:
        judge.files(paths, Parameters(), quiet, lambda: False)
    with pytest.raises(MalformedDicom) as named:
        judge.files(paths, Parameters(), quiet, lambda: False, name=lambda path: path.name)
    assert ("05.dcm" in str(nameless.value), "05.dcm" in str(named.value)) == (False, True)
