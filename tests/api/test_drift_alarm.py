"""What follows when images or answers are no longer as they were: by setting, told, warned of, or no more traffic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.watch.watch import OnDrift, Watch
from tests.api.conftest import ON_NODULE, declared, wait_until_ready
from tests.fakes import arithmetic_backends, write_models
from tests.keys import write_key

BEFORE_DAYS = range(40, 20, -1)
SINCE_DAYS = range(20, 0, -1)
A_DAY = 60
REFERENCE = 17 * A_DAY  # the first days that have a thousand


@contextmanager
def running(tmp_path: Path, on_drift: OnDrift) -> Iterator[tuple[TestClient, Watch]]:
    write_models(tmp_path / "models")
    settings = Settings(
        models_dir=tmp_path / "models",
        threads=1,
        feedback_dir=tmp_path / "feedback",
        on_drift=on_drift,
        signing_key=write_key(tmp_path, "service")[0],
    )
    with TestClient(create_app(settings, backends=arithmetic_backends()), raise_server_exceptions=False) as client:
        wait_until_ready(client)
        watch: Watch = client.app.state.services.watch  # type: ignore[attr-defined]  # the client types it as bare ASGI
        yield client, watch


def count(watch: Watch, digest: str, *, later: int) -> None:
    """Weeks of images with noise in bin 5, then in bin `later`."""
    for place, days in ((5, BEFORE_DAYS), (later, SINCE_DAYS)):
        counts = {(digest, "noise_hu", watch.today - ago, place): A_DAY for ago in days}
        watch.ledger.note([], counts, day=watch.today)


@pytest.mark.parametrize("on_drift", ["tell", "warn", "stop"])
def test_an_alarm_does_what_the_operator_wants(tmp_path: Path, on_drift: OnDrift, suspicious: bytes) -> None:
    with running(tmp_path, on_drift) as (client, watch):
        asked = client.post("/v1/predict", params=ON_NODULE, content=suspicious).json()
        count(watch, asked["model"]["digest"], later=9)
        watch.look()
        ready = client.get("/health/ready")
        answered = client.post("/v1/predict", params=ON_NODULE, content=suspicious)
        shown = client.get("/metrics").text
        (told,) = (
            each
            for each in client.get("/v1/models/nodule-classifier/performance").json()["drift"]
            if each["state"] == "drifted"
        )
    assert ready.status_code == (503 if on_drift == "stop" else 200)
    assert "the input has drifted: noise_hu" in ready.json()["reason"]
    assert answered.status_code == 200
    declared(answered.content)
    warnings = answered.json().get("warnings", [])
    assert [each["code"] for each in warnings] == (["input_drifted"] if on_drift == "warn" else [])
    # What is signed is about the image.
    assert answered.json()["receipt"]["result"] == asked["receipt"]["result"]
    assert 'lungscope_drifted{feature="noise_hu"} 1.0' in shown
    assert 'lungscope_drifted{feature="probability"} 0.0' in shown
    assert 'lungscope_drift_index{feature="probability"} NaN' in shown
    assert (told["feature"], told["side"], told["reference"]) == ("noise_hu", "input", REFERENCE)
    assert told["index"] > told["bound"]


def test_what_is_as_it_was_raises_no_alarm_and_a_new_reference_ends_one(tmp_path: Path, suspicious: bytes) -> None:
    with running(tmp_path, "stop") as (client, watch):
        asked = client.post("/v1/predict", params=ON_NODULE, content=suspicious).json()
        digest = asked["model"]["digest"]
        count(watch, digest, later=5)
        assert {drift.state for drift in watch.look()} == {"gathering", "steady"}
        assert client.get("/health/ready").json() == {"status": "ok", "reason": "model ready"}
        for _ in range(3):
            count(watch, digest, later=9)
        watch.look()
        assert client.get("/health/ready").status_code == 503
        watch.ledger.begin_reference(day=watch.today)
        assert {drift.state for drift in watch.look()} == {"gathering"}
        assert client.get("/health/ready").status_code == 200


def test_what_is_judged_is_counted_once_for_image_findings_and_decision(tmp_path: Path, suspicious: bytes) -> None:
    with running(tmp_path, "tell") as (client, watch):
        digest = client.post("/v1/predict", params=ON_NODULE, content=suspicious).json()["model"]["digest"]
        watch.write()
        watch.write()
        for feature, number in (("pixel_spacing_mm", 1), ("probability", 1), ("decision", 1), ("slice_spacing_mm", 0)):
            days = watch.ledger.days(digest, feature, since=-1)
            assert sum(int(each.sum()) for each in days.values()) == number, feature
        assert watch.ledger.days(digest, "decision", since=-1)[watch.today].tolist() == [1, 0, 0, 0]
