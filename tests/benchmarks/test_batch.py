"""What is measured of a batch: models that cost nothing, and the figures that are made of runs."""

from __future__ import annotations

from app.settings import Settings
from benchmarks.batch import recorded_judge, report


def test_models_that_repeat_their_golden_cases_are_taken_for_the_shipped_ones() -> None:
    with recorded_judge(Settings.load()) as judge:
        assert judge.registry.status == "ready"
        assert judge.registry.backend_name == "recorded"


def test_a_cost_is_told_by_that_of_the_smallest_archive() -> None:
    def run(series: int, workers: int, judge_ms: float) -> dict[str, float]:
        return {"series": series, "workers": workers, "index_ms_per_series": 10, "judge_ms_per_series": judge_ms}

    told = report([run(100, 1, 90), run(100, 2, 45), run(1000, 1, 95)], [run(100, 1, 3600), run(100, 2, 1800)])
    assert told["cost_to_smallest"] == {100: 1.0, 1000: 1.05}
    assert told["scans_per_hour"] == {1: 1000, 2: 2000}
