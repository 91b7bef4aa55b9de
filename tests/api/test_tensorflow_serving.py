"""TensorFlow Serving's REST API by its text: what each row of docs/dialects.md says, on the arithmetic model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.api.dialects import CLASSIFIER, DETECTOR, HU, MALIGNANCY, patches, problem_of, served_by
from tests.fakes import FILTER_SIZE_PX, SIZE_PX, ArithmeticBackend

MODEL = f"/v1/models/{CLASSIFIER}"
ROWS = patches(*HU).tolist()
WHICH = ["", "/versions/1", "/labels/stable"]


@pytest.fixture(scope="module")
def classifier() -> ArithmeticBackend:
    return ArithmeticBackend()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, classifier: ArithmeticBackend) -> Iterator[TestClient]:
    with served_by(classifier, tmp_path_factory.mktemp("tensorflow_serving")) as client:
        yield client


@pytest.mark.parametrize("which", WHICH)
def test_status_of_a_model_stands_beside_what_else_is_said_of_it(served: TestClient, which: str) -> None:
    said = served.get(f"{MODEL}{which}").json()
    available = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert said["model_version_status"] == [available]
    assert ("operating_point" in said) == (not which)


@pytest.mark.parametrize("which", WHICH)
def test_metadata_are_the_signature(served: TestClient, which: str) -> None:
    said = served.get(f"{MODEL}{which}/metadata").json()
    assert said["model_spec"] == {"name": CLASSIFIER, "signature_name": "", "version": "1"}
    signature = said["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["hu"]["dtype"] == "DT_FLOAT"
    sizes = [each["size"] for each in signature["inputs"]["hu"]["tensor_shape"]["dim"]]
    assert sizes == ["-1", str(SIZE_PX), str(SIZE_PX), "1"]
    assert [each["size"] for each in signature["outputs"]["malignancy"]["tensor_shape"]["dim"]] == ["-1"]


@pytest.mark.parametrize("which", WHICH)
def test_rows_give_a_prediction_each_from_one_pass(
    served: TestClient, classifier: ArithmeticBackend, which: str
) -> None:
    classifier.batches.clear()
    said = served.post(f"{MODEL}{which}:predict", json={"instances": ROWS}).json()
    assert [each["malignancy"] for each in said["predictions"]] == MALIGNANCY
    assert set(said["predictions"][0]) == {"malignancy", "nodule", "traits", "mask", "evidence", "embedding"}
    assert len(said["predictions"][0]["traits"]) == 7
    assert classifier.batches == [3]
    assert "Not a medical device" in said["disclaimer"]


def test_rows_may_be_objects_with_the_name_of_the_input(served: TestClient) -> None:
    said = served.post(f"{MODEL}:predict", json={"instances": [{"hu": row} for row in ROWS]}).json()
    assert [each["malignancy"] for each in said["predictions"]] == MALIGNANCY


@pytest.mark.parametrize("inputs", [ROWS, {"hu": ROWS}])
def test_columns_give_outputs_by_name(served: TestClient, inputs: Any) -> None:
    said = served.post(f"{MODEL}:predict", json={"signature_name": "serving_default", "inputs": inputs}).json()
    assert said["outputs"]["malignancy"] == MALIGNANCY
    assert "predictions" not in said


def test_a_single_output_has_no_name(served: TestClient) -> None:
    rows = patches(-450, -650, size_px=FILTER_SIZE_PX).tolist()
    path = f"/v1/models/{DETECTOR}:predict"
    assert served.post(path, json={"instances": rows}).json()["predictions"] == [1.0, -1.0]
    assert served.post(path, json={"inputs": rows}).json()["outputs"] == [1.0, -1.0]


def test_a_body_of_any_declared_type_is_json(served: TestClient) -> None:
    """curl declares a form."""
    body = json.dumps({"instances": ROWS})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert served.post(f"{MODEL}:predict", content=body, headers=headers).status_code == 200


def test_what_is_no_number_is_read_and_refused(served: TestClient) -> None:
    body = json.dumps({"instances": patches(float("nan"), float("inf")).tolist()})
    assert "NaN" in body
    assert "Infinity" in body
    assert problem_of(served.post(f"{MODEL}:predict", content=body)) == (400, "invalid_tensor")


def test_what_a_network_says_that_is_no_number_is_said(
    served: TestClient, classifier: ArithmeticBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = classifier.run
    nothing = np.float32("nan")
    monkeypatch.setattr(classifier, "run", lambda hu: {name: each + nothing for name, each in run(hu).items()})
    answer = served.post(f"{MODEL}:predict", json={"instances": ROWS[:1]})
    assert '"malignancy":NaN' in answer.text


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({}, 400, "malformed_json"),
        ([], 400, "malformed_json"),
        ({"instances": ROWS, "inputs": ROWS}, 400, "malformed_json"),
        ({"instances": ROWS, "signature_name": "other"}, 400, "invalid_tensor"),
        ({"instances": []}, 400, "invalid_tensor"),
        ({"instances": 1}, 400, "invalid_tensor"),
        ({"instances": "rows"}, 400, "invalid_tensor"),
        ({"instances": [ROWS[0], ROWS[0][:-1]]}, 400, "invalid_tensor"),
        ({"instances": [{"other": ROWS[0]}]}, 400, "invalid_tensor"),
        ({"instances": [{"hu": ROWS[0]}, ROWS[0]], "signature_name": None}, 200, ""),
        ({"instances": [{"b64": "QQ=="}]}, 400, "invalid_tensor"),
        ({"inputs": {"hu": ROWS, "more": ROWS}}, 400, "invalid_tensor"),
        ({"inputs": patches(*[0] * 9).astype(int).tolist()}, 413, "batch_too_large"),
    ],
)
def test_requests_that_do_not_fit_are_problems(served: TestClient, request_: Any, status: int, code: str) -> None:
    answer = served.post(f"{MODEL}:predict", json=request_)
    assert answer.status_code == status
    if code:
        assert problem_of(answer) == (status, code)


def test_a_body_that_is_no_json_or_too_long_is_a_problem(served: TestClient) -> None:
    assert problem_of(served.post(f"{MODEL}:predict", content=b"{")) == (400, "malformed_json")
    assert problem_of(served.post(f"{MODEL}:predict", content=b" " * (2 << 20))) == (413, "input_too_large")


@pytest.mark.parametrize(
    ("which", "code"), [("other", "unknown_model"), (f"{CLASSIFIER}/versions/7", "unknown_version")]
)
def test_other_models_versions_and_labels_are_unknown(served: TestClient, which: str, code: str) -> None:
    assert problem_of(served.get(f"/v1/models/{which}")) == (404, code)
    assert problem_of(served.get(f"/v1/models/{which}/metadata")) == (404, code)
    assert problem_of(served.post(f"/v1/models/{which}:predict", json={"instances": ROWS})) == (404, code)
    label = which.replace("versions/7", "labels/canary")
    assert served.post(f"/v1/models/{label}:predict", json={"instances": ROWS}).json()["code"] == code


@pytest.mark.parametrize("verb", ["classify", "regress"])
def test_classify_and_regress_are_not_offered(served: TestClient, verb: str) -> None:
    """Bundles have no signature for them."""
    assert problem_of(served.post(f"{MODEL}:{verb}", json={"examples": [{}]})) == (405, "method_not_allowed")


def test_card_and_status_keep_their_addresses(served: TestClient) -> None:
    assert served.get(f"{MODEL}/card").headers["content-type"].startswith("text/markdown")
    assert served.get("/v1/models/lungscope-slice").status_code == 404
