"""Versions of the classifier, moved while the service runs: what judges, what is refused, and what is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2 as httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.errors import BundleError, SettingsError
from app.inference.bundle import MANIFEST_FILE
from app.main import create_app
from app.security.keys import new_key
from app.settings import Settings
from app.versions import versions
from benchmarks.serving.service import eventually
from tests.api.conftest import NODULE, ON_NODULE, png
from tests.api.dialects import CLASSIFIER, problem_of
from tests.fakes import ArithmeticBackend, arithmetic_backends, write_bundle, write_models
from tests.inference.slices import chest

MODEL = f"/v1/models/{CLASSIFIER}"
TOKEN = "a-token-of-some-length"
CLIENTS, REQUESTS = 16, 12


@pytest.fixture(scope="module")
def slice_png() -> bytes:
    """A slice with one nodule of 400 HU."""
    return png(chest({NODULE: (20, 400)}).hu)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Three versions of the classifier, of which the first judges, and a key for its operator."""
    models = tmp_path / "models"
    write_models(models)
    for number in (2, 3):
        write_bundle(models, version=number)
    return Settings(
        models_dir=models,
        model=f"{CLASSIFIER}/1",
        versions_dir=tmp_path / "versions",
        api_token=TOKEN,
        threads=1,
        max_series=1,
    )


def app_of(settings: Settings, backend: Callable[[], ArithmeticBackend] = ArithmeticBackend) -> FastAPI:
    return create_app(settings, backends=arithmetic_backends(), beside_backend=backend, load_first=True)


@contextmanager
def served(settings: Settings, backend: Callable[[], ArithmeticBackend] = ArithmeticBackend) -> Iterator[TestClient]:
    with TestClient(app_of(settings, backend), headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def labels(client: TestClient) -> dict[str, str]:
    return {each["version"]: each["label"] for each in client.get(f"{MODEL}/versions").json()["versions"]}


def judged_by(client: TestClient, sent: bytes) -> str:
    answer = client.post("/v1/predict", params=ON_NODULE, content=sent)
    assert answer.status_code == 200
    found: str = answer.json()["model"]["version"]
    return found


def done(answer: httpx.Response) -> dict[str, str]:
    """The labels after an operation that succeeded."""
    assert answer.status_code == 200, answer.text
    return {each["version"]: each["label"] for each in answer.json()["versions"]}


def load(client: TestClient, number: int) -> httpx.Response:
    return client.post(f"{MODEL}/versions/{number}/load")


def unload(client: TestClient, number: int) -> httpx.Response:
    return client.post(f"{MODEL}/versions/{number}/unload")


def put(client: TestClient, label: str, number: int) -> httpx.Response:
    return client.put(f"{MODEL}/labels/{label}", params={"version": number})


def test_a_version_is_loaded_judges_is_rolled_back_and_unloaded(settings: Settings, slice_png: bytes) -> None:
    with served(settings) as client:
        assert judged_by(client, slice_png) == "1"
        assert done(load(client, 2)) == {"1": "stable", "2": "canary"}
        assert judged_by(client, slice_png) == "1"
        assert client.get(f"{MODEL}/labels/canary").status_code == 200
        assert done(put(client, "stable", 2)) == {"2": "stable", "1": "previous"}
        assert judged_by(client, slice_png) == "2"
        assert client.get(MODEL).json()["version"] == client.get("/v1/models").json()["models"][0]["version"] == "2"
        assert done(client.post(f"{MODEL}/rollback")) == {"1": "stable", "2": "previous"}
        assert judged_by(client, slice_png) == "1"
        assert done(unload(client, 2)) == {"1": "stable"}
        assert problem_of(client.get(f"{MODEL}/versions/2")) == (404, "unknown_version")
        metrics = client.get("/metrics").text
    loaded = {
        line.split('version="')[1][0]: line[-3:] for line in metrics.splitlines() if f'name="{CLASSIFIER}"' in line
    }
    assert loaded == {"1": "1.0", "2": "0.0"}


def test_a_label_makes_a_shadow_and_takes_it_away(settings: Settings, slice_png: bytes) -> None:
    with served(settings.model_copy(update={"shadow_share": 1})) as client:
        load(client, 2)
        assert done(put(client, "shadow", 2)) == {"1": "stable", "2": "shadow"}
        judged_by(client, slice_png)
        eventually(lambda: client.get(f"{MODEL}/shadow").json()["requests"]["compared"] == 1)
        assert done(put(client, "shadow", 2)) == {"1": "stable", "2": "shadow"}
        assert done(put(client, "experiment", 2)) == {"1": "stable", "2": "experiment"}
        assert client.get(f"{MODEL}/shadow").status_code == 404
        judged_by(client, slice_png)
        assert 'outcome="compared"' in client.get("/metrics").text


def test_what_was_wanted_counts_at_the_next_start(settings: Settings, slice_png: bytes) -> None:
    with served(settings) as client:
        load(client, 2)
        put(client, "stable", 2)
        done(load(client, 3))
    with served(settings) as client:  # settings still name version 1
        assert labels(client) == {"2": "stable", "1": "previous", "3": "canary"}
        assert judged_by(client, slice_png) == "2"


def test_another_worker_follows(settings: Settings, slice_png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "FOLLOW_S", 0.01)
    with served(settings) as one, served(settings) as other:
        load(one, 2)
        eventually(lambda: labels(other) == {"1": "stable", "2": "canary"})
        put(other, "stable", 2)
        eventually(lambda: labels(one) == {"2": "stable", "1": "previous"})
        assert judged_by(one, slice_png) == judged_by(other, slice_png) == "2"


def test_a_worker_that_cannot_follow_goes_on_and_says_so(
    settings: Settings, slice_png: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "FOLLOW_S", 0.01)
    monkeypatch.setattr(versions, "RETRY_S", 0.01)
    broken = True

    class Broken(ArithmeticBackend):
        def load(self, path: Path) -> None:
            if broken:
                raise RuntimeError("no memory")
            super().load(path)

    with served(settings) as one, served(settings, Broken) as other:
        load(one, 2)
        done(put(one, "stable", 2))
        eventually(lambda: "lungscope_versions_behind 1.0" in other.get("/metrics").text)
        assert judged_by(other, slice_png) == "1"
        broken = False
        eventually(lambda: "lungscope_versions_behind 0.0" in other.get("/metrics").text)
        assert judged_by(other, slice_png) == "2"


def test_a_version_that_is_gone_costs_itself_alone_unless_it_judges(settings: Settings, slice_png: bytes) -> None:
    with served(settings) as client:
        load(client, 2)
        put(client, "stable", 2)
        done(load(client, 3))
    (settings.models_dir / CLASSIFIER / "1").rename(settings.models_dir / "elsewhere")  # what was `previous`
    with served(settings) as client:
        assert labels(client) == {"2": "stable", "3": "canary"}
        assert "lungscope_versions_behind 1.0" in client.get("/metrics").text
        assert problem_of(client.post(f"{MODEL}/rollback")) == (404, "unknown_version")
        assert done(put(client, "shadow", 3)) == {"2": "stable", "3": "shadow"}
        assert judged_by(client, slice_png) == "2"
        assert done(unload(client, 1)) == {"2": "stable", "3": "shadow"}
        assert "lungscope_versions_behind 0.0" in client.get("/metrics").text
    (settings.models_dir / CLASSIFIER / "2").rename(settings.models_dir / "elsewhere too")
    with pytest.raises(BundleError, match="no version '2'"), served(settings):
        pass


def damage(settings: Settings) -> None:
    (settings.models_dir / CLASSIFIER / "2" / "saved_model.pb").write_bytes(b"damaged")


def break_golden_case(settings: Settings) -> None:
    path = settings.models_dir / CLASSIFIER / "2" / MANIFEST_FILE
    manifest = json.loads(path.read_text("utf-8"))
    manifest["golden"]["outputs"]["malignancy"]["base64"] = "AACAPw=="  # 1.0
    path.write_text(json.dumps(manifest), "utf-8")


@pytest.mark.parametrize(("harm", "said"), [(damage, "saved_model.pb"), (break_golden_case, "golden case")])
def test_an_unfit_version_gets_no_traffic(
    settings: Settings, slice_png: bytes, harm: Callable[[Settings], None], said: str
) -> None:
    harm(settings)
    with served(settings) as client:
        refused = load(client, 2)
        assert problem_of(refused) == (422, "unfit_version")
        assert said in refused.json()["detail"]
        assert labels(client) == {"1": "stable"}
        assert judged_by(client, slice_png) == "1"
    with served(settings) as client:
        assert labels(client) == {"1": "stable"}


def test_a_version_without_the_signature_that_is_asked_for_is_unfit(settings: Settings, tmp_path: Path) -> None:
    from app.inference.signatures import sign
    from tests.keys import write_key

    private, public = write_key(tmp_path, "models")
    for manifest in settings.models_dir.glob(f"*/*/{MANIFEST_FILE}"):
        if manifest.parent != settings.models_dir / CLASSIFIER / "2":
            sign(manifest, private)
    with served(settings.model_copy(update={"trusted_key": public})) as client:
        refused = load(client, 2)
        assert problem_of(refused) == (422, "unfit_version")
        assert "no signature" in refused.json()["detail"]
        done(load(client, 3))


def test_a_runtime_that_fails_is_said_without_its_words(settings: Settings, slice_png: bytes) -> None:
    class Failing(ArithmeticBackend):
        def load(self, path: Path) -> None:
            raise MemoryError(f"words of a runtime about {path}")

    with served(settings, Failing) as client:
        refused = load(client, 2)
        assert problem_of(refused) == (422, "unfit_version")
        assert "MemoryError" in refused.json()["detail"]
        assert "words of a runtime" not in refused.text
        assert judged_by(client, slice_png) == "1"


def test_files_that_change_under_their_number_are_refused(settings: Settings) -> None:
    with served(settings) as client:
        done(load(client, 2))
        done(put(client, "stable", 2))
    path = settings.models_dir / CLASSIFIER / "2" / MANIFEST_FILE
    path.write_text(path.read_text("utf-8") + "\n", "utf-8")
    with pytest.raises(BundleError, match="another manifest"), served(settings):
        pass


def test_a_damaged_file_of_versions_stops_the_start_and_changes_nothing_later(
    settings: Settings, slice_png: bytes
) -> None:
    assert settings.versions_dir is not None
    kept = settings.versions_dir / "versions.json"
    with served(settings) as client:
        done(load(client, 2))
        kept.write_text("{")
        assert problem_of(put(client, "stable", 2)) == (503, "storage_unavailable")
        assert judged_by(client, slice_png) == "1"
    with pytest.raises(SettingsError, match="versions that are wanted"), served(settings):
        pass


def test_what_cannot_be_done_is_said(settings: Settings) -> None:
    with served(settings) as client:
        done(load(client, 2))
        assert problem_of(unload(client, 1)) == (409, "version_in_use")
        assert problem_of(put(client, "shadow", 1)) == (409, "version_in_use")
        assert problem_of(load(client, 9)) == (404, "unknown_version")
        assert problem_of(unload(client, 9)) == (404, "unknown_version")
        assert problem_of(put(client, "stable", 3)) == (404, "unknown_version")
        assert problem_of(client.post(f"{MODEL}/rollback")) == (404, "unknown_version")
        assert problem_of(client.post(f"{MODEL}/versions/two/load")) == (404, "unknown_version")
        assert problem_of(put(client, "previous", 2)) == (400, "invalid_parameter")
        assert problem_of(put(client, "Not a label", 2)) == (400, "invalid_parameter")
        assert problem_of(client.put(f"{MODEL}/labels/stable")) == (400, "invalid_parameter")
        assert problem_of(client.post("/v1/models/nodule-detector/versions/2/load")) == (501, "versions_fixed")
        assert problem_of(client.post("/v1/models/other/versions/2/load")) == (404, "unknown_model")
        assert labels(client) == {"1": "stable", "2": "canary"}
    with served(settings.model_copy(update={"versions_dir": None})) as client:
        assert problem_of(load(client, 2)) == (501, "versions_fixed")


def test_where_nobody_is_asked_who_they_are_nobody_is_the_operator(settings: Settings) -> None:
    with TestClient(app_of(settings.model_copy(update={"api_token": None}))) as client:
        assert problem_of(load(client, 2)) == (403, "forbidden")
        assert problem_of(client.post(f"{MODEL}/rollback")) == (403, "forbidden")
        assert labels(client) == {"1": "stable"}


def test_a_key_for_judgements_moves_no_version(settings: Settings, tmp_path: Path) -> None:
    key, line = new_key("viewer", "predict")
    file = tmp_path / "keys.txt"
    file.write_text(line)
    file.chmod(0o600)
    with served(settings.model_copy(update={"keys_file": file})) as client:
        refused = client.post(f"{MODEL}/versions/2/load", headers={"Authorization": f"Bearer {key}"})
        assert problem_of(refused) == (403, "forbidden")


def test_every_change_is_on_record(settings: Settings, tmp_path: Path) -> None:
    with served(settings.model_copy(update={"audit_dir": tmp_path / "audit"})) as client:
        load(client, 2)
        put(client, "stable", 2)
        unload(client, 2)  # refused
        digest = client.get(MODEL).json()["digest"]
    lines = [
        json.loads(line)
        for path in sorted((tmp_path / "audit").glob("chain-*/*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    changes = [each for each in lines if each["operation"] == "change_versions"]
    assert [each["details"] for each in changes] == [{"change": "load 2"}, {"change": "stable 2"}]
    assert {each["who"] for each in changes} == {"api-token"}
    assert changes[-1]["models"] == {f"{CLASSIFIER}/2": digest}
    assert any(each["operation"] == "refuse" and each["outcome"] == "version_in_use" for each in lines)


def test_nobody_is_dropped_while_versions_change(settings: Settings, slice_png: bytes) -> None:
    """CLIENTS send REQUESTS each, and go on until every change is made; all are answered, each by one version."""
    changed = threading.Event()
    answered: list[tuple[int, str]] = []

    def ask(client: TestClient) -> None:
        sent = 0
        while sent < REQUESTS or not changed.is_set():
            answer = client.post("/v1/predict", params=ON_NODULE, content=slice_png)
            version = answer.json()["model"]["version"] if answer.status_code == 200 else answer.text
            answered.append((answer.status_code, version))
            sent += 1

    with served(settings.model_copy(update={"shadow_share": 1, "caller_share": 1})) as client:
        clients = [threading.Thread(target=ask, args=(client,)) for _ in range(CLIENTS)]
        for each in clients:
            each.start()
        try:
            done(load(client, 2))
            done(put(client, "shadow", 2))
            done(load(client, 3))
            done(put(client, "stable", 3))
            done(client.post(f"{MODEL}/rollback"))
            done(put(client, "stable", 2))
            done(unload(client, 1))
        finally:
            changed.set()
            for each in clients:
                each.join()
        assert labels(client) == {"2": "stable"}
    assert {status for status, _ in answered} == {200}, answered
    assert {version for _, version in answered} <= {"1", "2", "3"}
    assert len(answered) >= CLIENTS * REQUESTS
