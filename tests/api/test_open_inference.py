"""Open Inference Protocol by its text: what each row of docs/dialects.md says, on the arithmetic model."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from app import __version__
from app.api.dialects.open_inference import JSON_LENGTH
from app.main import create_app
from app.settings import Settings
from tests.api.conftest import ON_NODULE, declared
from tests.api.dialects import (
    CLASSIFIER,
    DETECTOR,
    HU,
    INFER,
    MALIGNANCY,
    SLICE_INFER,
    binary_body,
    binary_file,
    binary_patches,
    outputs_of,
    patches,
    problem_of,
    served_by,
    split,
    tensor,
)
from tests.api.test_predict import filled
from tests.fakes import SIZE_PX, ArithmeticBackend, arithmetic_backends, write_models


@pytest.fixture(scope="module")
def classifier() -> ArithmeticBackend:
    return ArithmeticBackend()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, classifier: ArithmeticBackend) -> Iterator[TestClient]:
    with served_by(classifier, tmp_path_factory.mktemp("open_inference")) as client:
        yield client


def asked(served: TestClient, request: dict[str, Any], path: str = INFER) -> Any:
    return served.post(path, json=request)


def test_server_is_live_ready_and_says_what_it_is(served: TestClient) -> None:
    assert served.get("/v2/health/live").json() == {"live": True}
    ready = served.get("/v2/health/ready").json()
    assert (ready["live"], ready["ready"]) == (True, True)
    said = served.get("/v2").json()
    assert said == {"name": "lungscope", "version": __version__, "extensions": ["binary_tensor_data"]}


def test_not_ready_while_it_stops(tmp_path: Path) -> None:
    write_models(tmp_path)
    app = create_app(Settings(models_dir=tmp_path, threads=1), backends=arithmetic_backends(), load_first=True)
    with TestClient(app) as client:
        app.state.services.registry.stop()
        ready, model = client.get("/v2/health/ready"), client.get(f"/v2/models/{CLASSIFIER}/ready")
        assert (ready.status_code, ready.json()["ready"]) == (503, False)
        assert (model.status_code, model.json()["ready"]) == (503, False)
        status = client.get(f"/v1/models/{CLASSIFIER}").json()["model_version_status"]
        assert status[0]["state"] == "UNLOADING"
        # What is here already is still answered.
        assert client.post(INFER, json={"inputs": [tensor(patches(0))]}).status_code == 200


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_model_says_what_it_takes_and_gives_and_that_it_is_ready(served: TestClient, version: str) -> None:
    said = served.get(f"/v2/models/{CLASSIFIER}{version}").json()
    assert (said["name"], said["versions"], said["platform"]) == (CLASSIFIER, ["1"], "tensorflow_savedmodel")
    assert said["inputs"] == [{"name": "hu", "datatype": "FP32", "shape": [-1, SIZE_PX, SIZE_PX, 1]}]
    shapes = {each["name"]: each["shape"] for each in said["outputs"]}
    assert (shapes["malignancy"], shapes["traits"], shapes["mask"]) == ([-1], [-1, 7], [-1, SIZE_PX, SIZE_PX])
    ready = served.get(f"/v2/models/{CLASSIFIER}{version}/ready")
    assert (ready.status_code, ready.json()) == (200, {"name": CLASSIFIER, "ready": True})


def test_the_whole_judgement_is_a_model_of_files_and_answers(served: TestClient) -> None:
    said = served.get("/v2/models/lungscope-slice").json()
    assert (said["versions"], said["platform"]) == ([__version__], "lungscope")
    assert said["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [1]}]
    assert said["outputs"] == [{"name": "answer", "datatype": "BYTES", "shape": [1]}]
    assert served.get(f"/v2/models/lungscope-slice/versions/{__version__}/ready").json()["ready"] is True


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/models/other", "unknown_model"),
        ("/v2/models/other/ready", "unknown_model"),
        (f"/v2/models/{CLASSIFIER}/versions/2", "unknown_version"),
        (f"/v2/models/{CLASSIFIER}/versions/2/ready", "unknown_version"),
        ("/v2/models/lungscope-slice/versions/1", "unknown_version"),
    ],
)
def test_other_models_and_versions_are_unknown(served: TestClient, path: str, code: str) -> None:
    assert problem_of(served.get(path)) == (404, code)
    assert problem_of(served.post(f"{path.removesuffix('/ready')}/infer", content=b"{}")) == (404, code)


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_numbers_in_json_give_all_outputs_of_one_pass(
    served: TestClient, classifier: ArithmeticBackend, version: str
) -> None:
    classifier.batches.clear()
    answer = asked(served, {"inputs": [tensor(patches(*HU))]}, f"/v2/models/{CLASSIFIER}{version}/infer")
    outputs = outputs_of(answer)
    assert outputs["malignancy"].tolist() == MALIGNANCY
    assert set(outputs) == {"malignancy", "nodule", "traits", "mask", "evidence", "embedding"}
    assert outputs["mask"].shape == (3, SIZE_PX, SIZE_PX)
    assert classifier.batches == [3]
    said = answer.json()
    assert (said["model_name"], said["model_version"]) == (CLASSIFIER, "1")
    assert "id" not in said
    assert "Not a medical device" in said["parameters"]["disclaimer"]


def test_data_may_be_nested_and_the_id_comes_back(served: TestClient) -> None:
    batch = patches(*HU)
    request = {"id": "a-42", "inputs": [tensor(batch, data=batch.tolist())], "outputs": [{"name": "malignancy"}]}
    answer = asked(served, request)
    assert answer.json()["id"] == "a-42"
    assert outputs_of(answer)["malignancy"].tolist() == MALIGNANCY


def test_only_the_outputs_that_are_wanted_come_in_their_order(served: TestClient) -> None:
    wanted = [{"name": "nodule"}, {"name": "malignancy"}]
    answer = asked(served, {"inputs": [tensor(patches(*HU))], "outputs": wanted})
    assert list(outputs_of(answer)) == ["nodule", "malignancy"]


def test_bytes_in_and_bytes_out(served: TestClient) -> None:
    wanted = [{"name": "malignancy", "parameters": {"binary_data": True}}, {"name": "nodule"}]
    body, headers = binary_patches(patches(*HU), outputs=wanted)
    answer = served.post(INFER, content=body, headers=headers)
    said, rest = split(answer)
    assert answer.headers["content-type"] == "application/octet-stream"
    malignancy, nodule = said["outputs"]
    assert malignancy["parameters"] == {"binary_data_size": len(rest)}
    assert "data" not in malignancy
    assert np.frombuffer(rest, "<f4").tolist() == MALIGNANCY
    assert nodule["data"] == [0.0, 1.0, 1.0]


def test_all_outputs_as_bytes_but_for_those_that_say_otherwise(served: TestClient) -> None:
    wanted = [{"name": "nodule", "parameters": {"binary_data": False}}, {"name": "malignancy"}]
    body, headers = binary_patches(patches(*HU), parameters={"binary_data_output": True}, outputs=wanted)
    said, rest = split(served.post(INFER, content=body, headers=headers))
    assert said["outputs"][0]["data"] == [0.0, 1.0, 1.0]
    assert np.frombuffer(rest, "<f4").tolist() == MALIGNANCY
    body, headers = binary_patches(patches(0), parameters={"binary_data_output": True})
    said, rest = split(served.post(INFER, content=body, headers=headers))
    assert sum(each["parameters"]["binary_data_size"] for each in said["outputs"]) == len(rest)


def test_a_body_may_be_compressed(served: TestClient) -> None:
    body, headers = binary_patches(patches(*HU), outputs=[{"name": "malignancy"}])
    answer = served.post(INFER, content=gzip.compress(body), headers={**headers, "Content-Encoding": "gzip"})
    assert outputs_of(answer)["malignancy"].tolist() == MALIGNANCY


def test_every_network_of_the_service_can_be_asked(served: TestClient) -> None:
    for model in served.get("/v1/models").json()["models"]:
        (entry,) = served.get(f"/v2/models/{model['name']}").json()["inputs"]
        batch = np.zeros((2, *entry["shape"][1:]), np.float32)
        body, headers = binary_patches(batch)
        answer = served.post(f"/v2/models/{model['name']}/infer", content=body, headers=headers)
        assert all(len(values) == 2 for values in outputs_of(answer).values())


OF_THE_REQUEST: dict[str, Any] = {"request_id": None, "timing_ms": None}


def test_a_slice_is_judged_as_by_predict(served: TestClient, suspicious: bytes) -> None:
    judged = served.post("/v1/predict", params=ON_NODULE, content=suspicious).json()
    body, headers = binary_file(suspicious, parameters=dict(ON_NODULE))
    as_bytes = split(served.post(SLICE_INFER, content=_all_binary(body, headers), headers=_length(body, headers)))
    answers = [as_bytes[1][4:]]
    assert int.from_bytes(as_bytes[1][:4], "little") == len(answers[0])
    file = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(suspicious).decode()]}
    in_json = asked(served, {"inputs": [file], "parameters": dict(ON_NODULE)}, SLICE_INFER)
    answers.append(in_json.json()["outputs"][0]["data"][0].encode())
    for answer in answers:
        assert declared(answer)["decision"] == "cancer_suspected"
        assert json.loads(answer) | OF_THE_REQUEST == judged | OF_THE_REQUEST


def _all_binary(body: bytes, headers: dict[str, str]) -> bytes:
    length = int(headers[JSON_LENGTH])
    request = json.loads(body[:length])
    request["parameters"]["binary_data_output"] = True
    return json.dumps(request).encode() + body[length:]


def _length(body: bytes, headers: dict[str, str]) -> dict[str, str]:
    before = len(body) - int(headers[JSON_LENGTH])
    return {JSON_LENGTH: str(len(_all_binary(body, headers)) - before)}


def test_words_and_numbers_are_parameters_and_the_language_is_the_headers(
    served: TestClient, suspicious: bytes
) -> None:
    body, headers = binary_file(suspicious, parameters={**ON_NODULE, "explain": True, "pixel_spacing_mm": 1.4})
    answer = served.post(SLICE_INFER, content=body, headers={**headers, "Accept-Language": "zh"})
    said = json.loads(outputs_of(answer)["answer"][0])
    assert said["display"] == "肺癌(疑似)"
    assert "evidence" in said["findings"][0]
    assert "parameter_ignored" not in {each["code"] for each in said["quality"]}


@pytest.mark.parametrize(
    ("data", "parameters", "status", "code"),
    [
        (b"", {}, 400, "empty_body"),
        (b"neither DICOM nor a picture", {}, 415, "unsupported_media_type"),
        (None, {"roi": "900,900", **{k: v for k, v in ON_NODULE.items() if k != "roi"}}, 422, "roi_outside_image"),
        (None, {"roi": "nine"}, 400, "invalid_parameter"),
    ],
)
def test_files_that_cannot_be_judged_are_the_problems_of_predict(
    served: TestClient, suspicious: bytes, data: bytes | None, parameters: dict[str, str], status: int, code: str
) -> None:
    body, headers = binary_file(suspicious if data is None else data, parameters=parameters)
    assert problem_of(served.post(SLICE_INFER, content=body, headers=headers)) == (status, code)


BATCH = patches(*HU)
BINARY = {"binary_data_size": BATCH.nbytes}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "x"}, "invalid_tensor"),
        ({"datatype": "FP64"}, "invalid_tensor"),
        ({"datatype": "BYTES"}, "invalid_tensor"),
        ({"shape": []}, "invalid_tensor"),
        ({"shape": [3, SIZE_PX, SIZE_PX]}, "invalid_tensor"),
        ({"shape": [2, SIZE_PX, SIZE_PX, 1]}, "invalid_tensor"),
        ({"shape": [0, SIZE_PX, SIZE_PX, 1], "data": []}, "invalid_tensor"),
        ({"shape": [2**63 - 1, SIZE_PX, SIZE_PX, 1]}, "batch_too_large"),
        ({"shape": [9, SIZE_PX, SIZE_PX, 1]}, "batch_too_large"),
        ({"shape": [-1, SIZE_PX, SIZE_PX, 1]}, "malformed_json"),
        ({"shape": "1"}, "malformed_json"),
        ({"data": None}, "invalid_tensor"),
        ({"data": None, "parameters": BINARY}, "invalid_tensor"),
        ({"parameters": {"binary_data_size": "0"}}, "invalid_tensor"),
        ({"data": ["a"] * BATCH.size}, "invalid_tensor"),
        ({"data": [[1.0], [2.0, 3.0]]}, "invalid_tensor"),
        ({"data": {"a": 1}}, "invalid_tensor"),
        ({"data": [1e39] * BATCH.size}, "invalid_tensor"),
        ({"data": [None] * BATCH.size}, "invalid_tensor"),
        ({"data": [10**400]}, "invalid_tensor"),
    ],
)
def test_tensors_that_do_not_fit_are_problems(served: TestClient, change: dict[str, Any], code: str) -> None:
    answer = asked(served, {"inputs": [tensor(BATCH, **change)]})
    assert problem_of(answer) == (413 if code == "batch_too_large" else 400, code)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"inputs": []}, "invalid_tensor"),
        ({"inputs": [tensor(patches(0))] * 2}, "invalid_tensor"),
        ({"inputs": [tensor(patches(0))], "outputs": [{"name": "other"}]}, "invalid_tensor"),
        (
            {
                "inputs": [tensor(patches(0))],
                "outputs": [{"name": "nodule", "parameters": {"classification": 2}}],
            },
            "invalid_parameter",
        ),
        ({"inputs": [tensor(patches(0))], "id": 42}, "malformed_json"),
        ({}, "malformed_json"),
        ([], "malformed_json"),
    ],
)
def test_requests_that_ask_for_what_there_is_not_are_problems(
    served: TestClient, request_: dict[str, Any], code: str
) -> None:
    assert problem_of(asked(served, request_)) == (400, code)


def test_bytes_that_do_not_fit_their_json_are_problems(served: TestClient) -> None:
    body, headers = binary_patches(BATCH)
    length = int(headers[JSON_LENGTH])
    for content, stated, code in (
        (body[:-4], str(length), "invalid_tensor"),
        (body + b"1234", str(length), "invalid_tensor"),
        (body, str(length - 1), "malformed_json"),
        (body, str(len(body) + 1), "invalid_tensor"),
        (body, "-1", "invalid_parameter"),
        (body, "²", "invalid_parameter"),
        (body, "9" * 30, "invalid_parameter"),
        (b"", "0", "malformed_json"),
        (b"\xff\xfe", "2", "malformed_json"),
    ):
        answer = served.post(INFER, content=content, headers={JSON_LENGTH.encode(): stated.encode()})
        assert problem_of(answer) == (400, code), (len(content), stated)
    for element in (b"", b"\x00", b"\x05\x00\x00\x00abc"):
        image = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(element)}}
        content, headers = binary_body({"inputs": [image]}, element)
        assert problem_of(served.post(SLICE_INFER, content=content, headers=headers)) == (400, "invalid_tensor")
    for data in (["not base64!"], [1], [], ["QQ==", "QQ=="]):
        file = {"name": "image", "shape": [1], "datatype": "BYTES", "data": data}
        assert problem_of(asked(served, {"inputs": [file]}, SLICE_INFER)) == (400, "invalid_tensor")


def test_problems_quote_nothing_that_was_sent(served: TestClient) -> None:
    secret = "Doe^Jane"
    for request in (
        {"inputs": [tensor(patches(0), name=secret, datatype=secret)], "outputs": [{"name": secret}]},
        {"inputs": [{**tensor(patches(0)), "parameters": {secret: [secret]}}], secret: secret, "id": 1},
    ):
        answer = asked(served, request)
        assert answer.status_code == 400
        assert secret not in answer.text


def test_json_has_a_bound_of_its_own(served: TestClient) -> None:
    too_long = b'{"inputs": [' + b" " * (1 << 20) + b"]}"
    assert problem_of(served.post(INFER, content=too_long)) == (413, "input_too_large")
    stated = {JSON_LENGTH: str(len(too_long))}
    assert problem_of(served.post(INFER, content=too_long, headers=stated)) == (413, "input_too_large")
    assert "LUNGSCOPE_MAX_JSON_MB" in served.post(INFER, content=too_long).json()["remedy"]


def test_inputs_are_counted_and_those_of_other_models_are_not_judgements(served: TestClient) -> None:
    before = served.get("/metrics").text
    body, headers = binary_patches(patches(*HU, size_px=32))
    assert served.post(f"/v2/models/{DETECTOR}/infer", content=body, headers=headers).status_code == 200
    after = served.get("/metrics").text

    def count(text: str) -> float:
        line = f'lungscope_network_inputs_total{{model="{DETECTOR}",version="1"}} '
        return float(next((each.removeprefix(line) for each in text.splitlines() if each.startswith(line)), "0"))

    assert count(after) == count(before) + 3
    assert 'route="/v2/models/{name}/infer"' in after
    decisions = [[line for line in text.splitlines() if "decisions_total{" in line] for text in (before, after)]
    assert decisions[0] == decisions[1]


def test_what_a_network_was_run_on_is_on_record(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    settings = Settings(models_dir=tmp_path / "models", threads=1, audit_dir=tmp_path / "audit")
    app = create_app(settings, backends=arithmetic_backends(), load_first=True)
    with TestClient(app) as client:
        assert client.post(INFER, json={"inputs": [tensor(patches(0))]}).status_code == 200
    lines = [line for path in (tmp_path / "audit").glob("chain-*/*.jsonl") for line in path.read_text().splitlines()]
    (event,) = [each for each in map(json.loads, lines) if each["operation"] == "run_network"]
    assert list(event["models"]) == [f"{CLASSIFIER}/1"]
    assert event["input"].startswith("sha256:")


def test_a_full_service_says_so_at_once(client: TestClient, backend: ArithmeticBackend, suspicious: bytes) -> None:
    with filled(client, backend, suspicious):
        answer = client.post(INFER, json={"inputs": [tensor(patches(0))]})
    assert problem_of(answer) == (503, "overloaded")
    assert answer.headers["retry-after"]
