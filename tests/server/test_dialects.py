"""The dialects on the shipped service: Triton's own client, and the requests of TensorFlow Serving's documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import urllib3

from app import __version__
from app.api.routes.docs import EXAMPLE_SLICE
from app.inference.bundle import MANIFEST_FILE, GoldenCase
from benchmarks.serving.service import MODELS, PATIENCE_S, Service
from tests.servers import OURS

CLASSIFIER = "nodule-classifier"
ROI = "148,240"
pytestmark = OURS


def golden_of(name: str) -> tuple[str, GoldenCase]:
    """The version of a bundle that is served, and its golden case."""
    newest = max((path for path in (MODELS / name).iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
    manifest = json.loads((newest / MANIFEST_FILE).read_text("utf-8"))
    return newest.name, GoldenCase.model_validate(manifest["golden"])


@pytest.fixture(scope="module")
def triton() -> Any:
    return pytest.importorskip("tritonclient.http", reason="tritonclient[http] is in requirements/dev.lock")


@pytest.fixture(scope="module")
def client(triton: Any, service: Service) -> Iterator[Any]:
    client = triton.InferenceServerClient(
        f"127.0.0.1:{service.port}", connection_timeout=PATIENCE_S, network_timeout=PATIENCE_S
    )
    yield client
    client.close()


def patches_for(triton: Any, batch: Any, *, binary: bool = True) -> Any:
    tensor = triton.InferInput("hu", list(batch.shape), "FP32")
    tensor.set_data_from_numpy(batch, binary_data=binary)
    return tensor


def file_for(triton: Any, data: bytes) -> Any:
    tensor = triton.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([data], object))
    return tensor


def ask(service: Service, method: str, path: str, body: Any = None) -> Any:
    answer = urllib3.request(method, service.url(path), body=None if body is None else json.dumps(body))
    assert answer.status == 200, answer.data
    return answer.json()


def test_triton_client_asks_for_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    server = client.get_server_metadata()
    assert (server["name"], server["version"], server["extensions"]) == (
        "lungscope",
        __version__,
        ["binary_tensor_data"],
    )
    version, golden = golden_of(CLASSIFIER)
    for asked in ("", version):
        assert client.is_model_ready(CLASSIFIER, asked)
        model = client.get_model_metadata(CLASSIFIER, asked)
        assert (model["name"], model["versions"], model["platform"]) == (
            CLASSIFIER,
            [version],
            "tensorflow_savedmodel",
        )
        assert model["inputs"] == [{"name": "hu", "datatype": "FP32", "shape": [-1, *golden.batch().shape[1:]]}]
    assert client.is_model_ready("lungscope-slice", __version__)
    assert not client.is_model_ready("other")


@pytest.mark.parametrize("name", sorted(path.name for path in MODELS.iterdir() if path.is_dir()))
def test_triton_client_gets_the_golden_case_of_every_network(triton: Any, client: Any, name: str) -> None:
    version, golden = golden_of(name)
    (entry,) = client.get_model_metadata(name)["inputs"]
    batch = np.repeat(golden.batch(), 3, axis=0)
    tensor = triton.InferInput(entry["name"], list(batch.shape), "FP32")
    tensor.set_data_from_numpy(batch)
    result = client.infer(name, [tensor], model_version=version)
    for output, recorded in golden.outputs.items():
        expected = np.broadcast_to(recorded.decode(), (3, *recorded.shape))
        found = result.as_numpy(output)
        assert found.shape == expected.shape
        assert np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected))) <= golden.tolerance


def test_triton_client_gets_its_id_and_only_what_it_wants(triton: Any, client: Any) -> None:
    _, golden = golden_of(CLASSIFIER)
    wanted = [triton.InferRequestedOutput(each) for each in ("nodule", "malignancy")]
    result = client.infer(CLASSIFIER, [patches_for(triton, golden.batch())], request_id="case 7", outputs=wanted)
    said = result.get_response()
    assert (said["id"], said["model_name"]) == ("case 7", CLASSIFIER)
    assert [each["name"] for each in said["outputs"]] == ["nodule", "malignancy"]


def test_triton_client_may_mix_bytes_and_json(triton: Any, client: Any) -> None:
    _, golden = golden_of(CLASSIFIER)
    wanted = [triton.InferRequestedOutput("malignancy", binary_data=binary) for binary in (True, False)]
    found = [
        client.infer(CLASSIFIER, [patches_for(triton, golden.batch(), binary=binary)], outputs=[output])
        for binary in (True, False)
        for output in wanted
    ]
    assert len({float(each.as_numpy("malignancy")[0]) for each in found}) == 1


def test_triton_client_may_compress(triton: Any, client: Any) -> None:
    _, golden = golden_of(CLASSIFIER)
    for algorithm in ("gzip", "deflate"):
        result = client.infer(
            CLASSIFIER, [patches_for(triton, golden.batch())], request_compression_algorithm=algorithm
        )
        assert result.as_numpy("malignancy").shape == (1,)


def test_triton_client_has_a_slice_judged(triton: Any, client: Any, service: Service) -> None:
    data = EXAMPLE_SLICE.read_bytes()
    judged = urllib3.request("POST", service.url(f"/v1/predict?roi={ROI}"), body=data).json()
    result = client.infer("lungscope-slice", [file_for(triton, data)], parameters={"roi": ROI})
    answer = json.loads(result.as_numpy("answer")[0])
    of_the_request = {"request_id": None, "timing_ms": None}
    assert answer | of_the_request == judged | of_the_request


def test_triton_client_is_told_what_is_wrong(triton: Any, client: Any) -> None:
    batch = np.zeros((1, 8, 8, 1), np.float32)
    for model, tensors, status, words in (
        ("other", [patches_for(triton, batch)], "404", "model"),
        (CLASSIFIER, [patches_for(triton, batch)], "400", "shape"),
        ("lungscope-slice", [file_for(triton, b"no image")], "415", "DICOM"),
    ):
        with pytest.raises(triton.InferenceServerException) as caught:
            client.infer(model, tensors)
        assert caught.value.status() == status
        assert words in caught.value.message()


def test_documented_shapes_of_tensorflow_serving(service: Service) -> None:
    version, golden = golden_of(CLASSIFIER)
    model, rows = f"/v1/models/{CLASSIFIER}", golden.batch().tolist()
    for which in ("", f"/versions/{version}", "/labels/stable"):
        (status,) = ask(service, "GET", f"{model}{which}")["model_version_status"]
        assert status == {"version": version, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        assert ask(service, "GET", f"{model}{which}/metadata")["model_spec"]["version"] == version
        (said,) = ask(service, "POST", f"{model}{which}:predict", {"instances": rows})["predictions"]
        for output, recorded in golden.outputs.items():
            assert said[output] == pytest.approx(recorded.decode(), abs=1e-2, rel=golden.tolerance)
    assert ask(service, "POST", f"{model}:predict", {"inputs": {"hu": rows}})["outputs"]["mask"] == [said["mask"]]
