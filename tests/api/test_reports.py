"""`POST /v1/reports`. Every report here was written for these tests."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr, TypeAdapter
from starlette.testclient import TestClient

from app.api.report_answers import ReportAnswer
from app.errors import BundleError
from app.inference.bundle import MANIFEST_FILE
from app.inference.signatures import sign
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import wait_until_ready
from tests.fakes import CARD, arithmetic_backends
from tests.keys import write_key
from tests.text.arithmetic import ArithmeticTagger, write_tagger

ANSWER = TypeAdapter(ReportAnswer)
REPORT = "An 8 mm solid nodule lies in the right upper lobe.\r\nNo pleural effusion. 👁 Follow-up CT in 3 months."
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
SECRET = "Zyxxander"


@pytest.fixture
def tagged(settings: Settings) -> Iterator[TestClient]:
    """The service with a tagger."""
    write_tagger(settings.models_dir)
    app = create_app(settings, backends=arithmetic_backends(), tagger_backend=ArithmeticTagger())
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client)
        yield client


def read(client: TestClient, text: str, **query: str) -> ReportAnswer:
    answer = client.post("/v1/reports", params=query, content=text.encode(), headers=PLAIN)
    assert answer.status_code == 200, answer.text
    return ANSWER.validate_json(answer.content, strict=True, extra="forbid")


def test_a_report_becomes_sentences_statements_and_nodules(tagged: TestClient) -> None:
    answer = read(tagged, REPORT, language="en")
    assert [sentence["text"] for sentence in answer["sentences"]] == [
        "An 8 mm solid nodule lies in the right upper lobe.",
        "No pleural effusion.",
        "👁 Follow-up CT in 3 months.",
    ]
    (nodule,) = answer["nodules"]
    assert (nodule["size_mm"], nodule["lobes"], nodule["attenuations"]) == (8.0, ["right_upper"], ["solid"])
    kinds = {(each["kind"], each["value"]) for sentence in answer["sentences"] for each in sentence["statements"]}
    assert kinds >= {("finding", "effusion"), ("recommendation", "follow_up"), ("negation", "negated")}
    assert [[label["label"] for label in sentence["labels"] or []] for sentence in answer["sentences"]] == [
        ["size"],
        ["denial"],
        [],
    ]
    assert answer["tagger"] is not None
    assert answer["tagger"]["name"] == "report-tagger"
    assert answer["quality"] == []


def test_spans_are_code_points_of_the_sent_text(client: TestClient) -> None:
    answer = read(client, REPORT)
    parts = [*answer["sentences"], *answer["nodules"], *(s for each in answer["sentences"] for s in each["statements"])]
    assert len(parts) > 10
    for part in parts:
        start, end = part["span"]
        assert REPORT[start:end] == part["text"]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60))
def test_any_text_is_read(client: TestClient, text: str) -> None:
    answer = client.post("/v1/reports", content=text.encode(), headers=PLAIN)
    assert answer.status_code == (200 if text.strip().strip("\ufeff") else 400)


def test_the_same_as_json(client: TestClient) -> None:
    plain = read(client, "右肺に結節。", language="ja")
    answer = client.post("/v1/reports", json={"text": "右肺に結節。", "language": "ja"}).json()
    of_one_request = ("request_id", "timing_ms")
    assert {k: v for k, v in answer.items() if k not in of_one_request} == {
        **{k: v for k, v in plain.items() if k not in of_one_request},
        "sentences": answer["sentences"],
        "nodules": answer["nodules"],
    }
    assert answer["sentences"][0]["text"] == "右肺に結節。"


def test_without_a_tagger_the_answer_says_so(client: TestClient) -> None:
    answer = read(client, REPORT, language="en")
    assert answer["tagger"] is None
    assert answer["sentences"][0]["labels"] is None
    assert [note["code"] for note in answer["quality"]] == ["tagger_absent"]


def test_what_was_assumed_and_what_the_tagger_does_not_carry_is_said(tagged: TestClient) -> None:
    answer = read(tagged, "右肺结节，直径约8mm。")
    assert answer["language"] == "zh"
    assert [note["code"] for note in answer["quality"]] == ["language_assumed", "language_not_carried"]
    assert answer["nodules"][0]["size_mm"] == 8.0


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"", "text/plain", 400, "empty_body"),
        (b" \r\n\t", "text/plain", 400, "empty_body"),
        ("\ufeff".encode(), "text/plain", 400, "empty_body"),
        (b"A nodule\x00.", "text/plain", 400, "malformed_text"),
        (b"A nodule\x1b[2J.", "text/plain", 400, "malformed_text"),
        ("結節".encode("shift_jis"), "text/plain", 400, "malformed_text"),
        ("結節".encode("shift_jis"), "text/plain; charset=Shift_JIS", 415, "unsupported_charset"),
        (b"A nodule.", "text/plain; charset=latin-1", 415, "unsupported_charset"),
        (b"A nodule.", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"A nodule.", "text/html", 415, "unsupported_media_type"),
        (b"A nodule.", "application/json", 400, "malformed_text"),
        (b'{"text": 1}', "application/json", 400, "malformed_text"),
        (b'{"text": "a", "name": "b"}', "application/json", 400, "malformed_text"),
        (b'{"text": "a\\u0000"}', "application/json", 400, "malformed_text"),
        (b'{"text": "a", "language": "de"}', "application/json", 400, "invalid_parameter"),
        (b"x" * (100 * 1024 + 1), "text/plain", 413, "input_too_large"),
    ],
)
def test_what_is_no_text_is_a_problem(
    client: TestClient, content: bytes, content_type: str, status: int, code: str
) -> None:
    answer = client.post("/v1/reports", content=content, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert {"found", "expected", "remedy"} <= answer.json().keys()


def test_half_a_character_is_a_problem(client: TestClient) -> None:
    answer = client.post("/v1/reports", content=b'{"text": "a\\ud800"}', headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_text")


def test_languages_that_contradict_and_unknown_ones_are_problems(client: TestClient) -> None:
    both = client.post("/v1/reports", params={"language": "en"}, json={"text": "A nodule.", "language": "ja"})
    unknown = client.post("/v1/reports", params={"language": "de"}, content=b"A nodule.", headers=PLAIN)
    assert [each.json()["code"] for each in (both, unknown)] == ["invalid_parameter"] * 2


def test_only_json_comes_back(client: TestClient) -> None:
    answer = client.post("/v1/reports", content=b"A nodule.", headers={**PLAIN, "Accept": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


def test_a_token_is_needed_where_one_is_set(settings: Settings) -> None:
    guarded = settings.model_copy(update={"api_token": SecretStr("t" * 16)})
    app = create_app(guarded, backends=arithmetic_backends())
    with TestClient(app) as client:
        without = client.post("/v1/reports", content=b"A nodule.", headers=PLAIN)
        with_it = client.post(
            "/v1/reports", content=b"A nodule.", headers={**PLAIN, "Authorization": f"Bearer {'t' * 16}"}
        )
    assert (without.status_code, with_it.status_code) == (401, 200)


def test_no_word_of_a_report_is_logged_or_counted(tagged: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    read(tagged, f"{SECRET} has an 8 mm nodule.")
    wrong = tagged.post("/v1/reports", content=f"{SECRET}\x00".encode(), headers=PLAIN)
    json_text = json.dumps({"text": SECRET, "name": SECRET}).encode()
    no_report = tagged.post("/v1/reports", content=json_text, headers={"Content-Type": "application/json"})
    assert SECRET not in caplog.text
    assert SECRET not in tagged.get("/metrics").text
    assert SECRET not in wrong.text + no_report.text


def test_the_tagger_is_among_the_models(tagged: TestClient) -> None:
    listed = tagged.get("/v1/models").json()["models"][-1]
    detail = tagged.get("/v1/models/report-tagger").json()
    assert (listed["name"], listed["status"]) == ("report-tagger", "ready")
    assert listed.items() <= detail.items()
    assert [label["name"] for label in detail["labels"]] == ["size", "denial"]
    assert tagged.get("/v1/models/report-tagger/card").text == CARD


def test_a_tagger_that_cannot_run_does_not_stop_the_service(settings: Settings) -> None:
    class Broken(ArithmeticTagger):
        def load(self, path: Path) -> None:
            raise RuntimeError(f"no such operation in {path.name}")

    write_tagger(settings.models_dir)
    with TestClient(create_app(settings, backends=arithmetic_backends(), tagger_backend=Broken())) as client:
        wait_until_ready(client)
        answer = read(client, REPORT, language="en")
        assert client.get("/v1/models/report-tagger").json()["status"] == "failed"
    assert [note["code"] for note in answer["quality"]] == ["tagger_failed"]


def test_an_unsigned_tagger_is_not_served_where_a_key_is_trusted(settings: Settings, tmp_path: Path) -> None:
    private, public = write_key(tmp_path, "own")
    for manifest in settings.models_dir.glob(f"*/*/{MANIFEST_FILE}"):
        sign(manifest, private)
    trusting = settings.model_copy(update={"trusted_key": public})
    create_app(trusting, backends=arithmetic_backends())
    tagger = write_tagger(settings.models_dir)
    with pytest.raises(BundleError, match=rf"{tagger}: no signature"):
        create_app(trusting, backends=arithmetic_backends(), tagger_backend=ArithmeticTagger())
    sign(tagger / MANIFEST_FILE, private)
    create_app(trusting, backends=arithmetic_backends(), tagger_backend=ArithmeticTagger())


@pytest.mark.parametrize("nested", [b"[" * 50_000, b'{"a":' * 15_000, b'{"text":' + b"[" * 50_000])
def test_json_within_json_is_refused_at_its_depth(client: TestClient, nested: bytes) -> None:
    response = client.post("/v1/reports", content=nested, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (400, "malformed_text")
