"""A version that judges a sample beside the one that answers: what is counted, and that nobody notices it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest
from starlette.testclient import TestClient

from app.api.shadow_answer import proportion
from app.errors import BundleError, SettingsError
from app.inference.backends import Outputs
from app.judgement import shadow
from app.main import create_app
from app.settings import Settings
from benchmarks.serving.service import eventually
from phantoms.series import SLICES, slice_file, zipped
from tests.api.conftest import NODULE, ON_NODULE, STATED, png
from tests.api.dialects import CLASSIFIER, problem_of
from tests.fakes import ArithmeticBackend, arithmetic_backends, write_bundle, write_models
from tests.inference.slices import chest

SHADOW = f"/v1/models/{CLASSIFIER}/shadow"


class Shifted(ArithmeticBackend):
    """Says a probability of so much more, or less."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def answer(self, hu: NDArray[np.float32]) -> Outputs:
        outputs = super().answer(hu)
        return {**outputs, "malignancy": np.clip(outputs["malignancy"] + self.by, 0, 1).astype(np.float32)}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two versions of the classifier, the second one of which may say what it likes, and one of each other bundle."""
    write_models(tmp_path)
    write_bundle(tmp_path, version=2, tolerance=0.9)
    return tmp_path


@contextmanager
def served(models: Path, backend: ArithmeticBackend, **settings: Any) -> Iterator[TestClient]:
    given: dict[str, Any] = {
        "model": f"{CLASSIFIER}/1",
        "shadow": f"{CLASSIFIER}/2",
        "shadow_share": 1,
        "threads": 1,
        "max_series": 1,
        **settings,
    }
    app = create_app(
        Settings(models_dir=models, **given),
        backends=arithmetic_backends(),
        beside_backend=lambda: backend,
        load_first=True,
    )
    with TestClient(app) as client:
        yield client


def said(client: TestClient) -> dict[str, Any]:
    answer = client.get(SHADOW)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def judge(client: TestClient, hu: float) -> dict[str, Any]:
    """The answer about a nodule of so many HU."""
    answer = client.post("/v1/predict", params=ON_NODULE, content=png(chest({NODULE: (20, hu)}).hu))
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def judge_and_wait(client: TestClient, hu: float) -> dict[str, Any]:
    """The same, once the shadow has repeated it or dropped it."""
    before = sum(said(client)["requests"].values())
    found = judge(client, hu)
    eventually(lambda: sum(said(client)["requests"].values()) > before)
    return found


def test_before_anything_is_judged_nothing_is_said_of_shares(models: Path) -> None:
    with served(models, ArithmeticBackend(), shadow_share=0.25) as client:
        none = {"count": 0, "share": None, "low": None, "high": None}
        assert said(client) == {
            "judging": "1",
            "shadow": "2",
            "share": 0.25,
            "status": "ready",
            "requests": {"compared": 0, "not_sampled": 0, "busy": 0, "failed": 0},
            "flips": {"to_suspected": none, "from_suspected": none},
            "decisions": [],
            "probability_difference": {"count": 0, "mean": None, "buckets": []},
        }


def test_a_shadow_that_agrees_flips_nothing(models: Path) -> None:
    with served(models, ArithmeticBackend()) as client:
        answers = [judge_and_wait(client, hu) for hu in (400, 40)]
        found = said(client)
    assert [each["model"]["version"] for each in answers] == ["1", "1"]
    assert found["requests"] == {"compared": 2, "not_sampled": 0, "busy": 0, "failed": 0}
    assert found["flips"]["to_suspected"]["count"] == found["flips"]["from_suspected"]["count"] == 0
    assert found["flips"]["to_suspected"]["high"] == pytest.approx(binomtest(0, 2).proportion_ci(method="wilson").high)
    assert {(each["answered"], each["shadow"]): each["count"] for each in found["decisions"]} == {
        ("cancer_suspected", "cancer_suspected"): 1,
        ("indeterminate", "indeterminate"): 1,
    }
    difference = found["probability_difference"]
    assert (difference["count"], difference["mean"]) == (2, 0)
    assert [each["count"] for each in difference["buckets"]] == [2] + [0] * 8


def test_decisions_flip_in_both_directions_and_probabilities_differ(models: Path) -> None:
    backend = Shifted(0.25)
    with served(models, backend) as client:
        assert judge_and_wait(client, 40)["decision"] == "indeterminate"  # 0.52 against 0.77
        backend.by = -0.45
        assert judge_and_wait(client, 400)["decision"] == "cancer_suspected"  # 0.7 against 0.25
        found = said(client)
        metrics = client.get("/metrics").text
    assert {(each["answered"], each["shadow"]): each["count"] for each in found["decisions"]} == {
        ("cancer_suspected", "normal"): 1,
        ("indeterminate", "cancer_suspected"): 1,
    }
    expected = binomtest(1, 2).proportion_ci(method="wilson")
    for flips in found["flips"].values():
        assert flips == {
            "count": 1,
            "share": 0.5,
            "low": pytest.approx(expected.low),
            "high": pytest.approx(expected.high),
        }
    difference = found["probability_difference"]
    assert difference["mean"] == pytest.approx(0.35, abs=0.01)
    assert [(each["above"], each["up_to"]) for each in difference["buckets"] if each["count"]] == [(0.2, 0.5)]
    pair = 'judging="1"'
    assert f'lungscope_shadow_requests_total{{{pair},outcome="compared",shadow="2"}} 2.0' in metrics
    flip = (
        f'lungscope_shadow_decisions_total{{decision="cancer_suspected",{pair},shadow="2",shadow_decision="normal"}} 1'
    )
    assert flip in metrics
    assert f'lungscope_shadow_probability_difference_count{{{pair},shadow="2"}} 2.0' in metrics
    assert 'lungscope_decisions_total{decision="normal"}' not in metrics  # answered to nobody, counted for nobody


def test_what_is_not_drawn_is_counted_too(models: Path) -> None:
    with served(models, ArithmeticBackend(), shadow_share=1e-12) as client:
        judge(client, 400)
        assert said(client)["requests"] == {"compared": 0, "not_sampled": 1, "busy": 0, "failed": 0}


def test_a_shadow_that_stands_still_holds_nobody_up_and_what_comes_meanwhile_is_dropped(models: Path) -> None:
    backend = ArithmeticBackend()
    with served(models, backend) as client:
        backend.hold()
        judge(client, 400)
        assert backend.started.wait(timeout=30)
        for _ in range(3):
            assert judge(client, 400)["decision"] == "cancer_suspected"
        assert said(client)["requests"] == {"compared": 0, "not_sampled": 0, "busy": 3, "failed": 0}
        backend.release()
        eventually(lambda: said(client)["requests"]["compared"] == 1)


def test_a_shadow_that_finds_no_idle_room_drops_what_it_holds(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(models, ArithmeticBackend()) as client:
        services = client.app.state.services  # type: ignore[attr-defined]  # the client types it as bare ASGI
        with monkeypatch.context() as patience, services.lane.slot():  # a series is in memory
            patience.setattr(shadow, "WAIT_S", 0)
            judge_and_wait(client, 400)
        assert said(client)["requests"]["busy"] == 1
        judge_and_wait(client, 400)
        assert said(client)["requests"]["compared"] == 1


def test_a_shadow_that_fails_costs_itself_alone(models: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(ArithmeticBackend):
        broken = False

        def answer(self, hu: NDArray[np.float32]) -> Outputs:
            if self.broken:
                raise RuntimeError("out of order")
            return super().answer(hu)

    backend = Failing()
    with served(models, backend) as client:
        backend.broken = True
        assert judge_and_wait(client, 400)["decision"] == "cancer_suspected"
        backend.broken = False
        judge_and_wait(client, 400)
        assert said(client)["requests"] == {"compared": 1, "not_sampled": 0, "busy": 0, "failed": 1}
    assert "version 2 fails as shadow" in caplog.text


def test_a_series_and_a_search_have_a_shadow_too(models: Path) -> None:
    with served(models, Shifted(0.1)) as client:
        searched = client.post("/v1/predict", params=STATED, content=png(chest({NODULE: (20, 400)}).hu))
        assert searched.json()["decision"] == "cancer_suspected"
        eventually(lambda: said(client)["requests"]["compared"] == 1)
        files = zipped([slice_file(index) for index in range(SLICES)])
        judged = client.post("/v1/studies", content=files, headers={"content-type": "application/zip"})
        assert judged.json()["model"]["version"] == "1"
        eventually(lambda: said(client)["requests"]["compared"] == 2)
        answered = [each["answered"] for each in said(client)["decisions"] for _ in range(each["count"])]
        assert sorted(answered) == sorted([searched.json()["decision"], judged.json()["decision"]])


def test_a_shadow_is_a_version_with_a_label_whose_network_can_be_asked(models: Path) -> None:
    with served(models, Shifted(0.3)) as client:
        listed = client.get(f"/v1/models/{CLASSIFIER}/versions").json()["versions"]
        assert [(each["version"], each["label"]) for each in listed] == [("1", "stable"), ("2", "shadow")]
        assert client.get(f"/v1/models/{CLASSIFIER}/labels/shadow").status_code == 200


def test_without_a_shadow_there_is_none(models: Path) -> None:
    with served(models, ArithmeticBackend(), shadow=None) as client:
        judge(client, 400)
        assert problem_of(client.get(SHADOW)) == (404, "unknown_version")
        assert problem_of(client.get("/v1/models/other/shadow")) == (404, "unknown_model")


def test_a_shadow_that_cannot_be_loaded_judges_nothing(models: Path) -> None:
    class Unloadable(ArithmeticBackend):
        def load(self, path: Path) -> None:
            raise RuntimeError(f"no runtime for {path}")

    with served(models, Unloadable()) as client:
        assert judge(client, 400)["decision"] == "cancer_suspected"
        found = said(client)
    assert (found["status"], found["requests"]["compared"]) == ("failed", 0)


@pytest.mark.parametrize("name", ["nodule-detector/1", CLASSIFIER, f"{CLASSIFIER}/1", f"{CLASSIFIER}/01"])
def test_a_shadow_is_another_version_of_the_classifier(models: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="LUNGSCOPE_SHADOW"), served(models, ArithmeticBackend(), shadow=name):
        pass


def test_a_version_has_one_label(models: Path) -> None:
    both = {"canary": frozenset({f"{CLASSIFIER}/2"}), "shadow": f"{CLASSIFIER}/2"}
    with pytest.raises(SettingsError, match="LUNGSCOPE_SHADOW"), served(models, ArithmeticBackend(), **both):
        pass
    with (
        pytest.raises(BundleError, match="no version '3'"),
        served(models, ArithmeticBackend(), shadow=f"{CLASSIFIER}/3"),
    ):
        pass


@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 1), (3, 10), (10, 10), (7, 4000)])
def test_intervals_are_wilsons(count: int, of: int) -> None:
    expected = binomtest(count, of).proportion_ci(method="wilson")
    found = proportion(count, of)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
