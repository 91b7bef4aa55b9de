"""Runtimes: each reproduces the shipped bundle, gives arrays of the caller's own, and none drags in another."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any  # OpenVINO does not declare its types

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray

from app.errors import BundleError
from app.inference.backends import Backend, Outputs
from app.inference.backends.openvino import CHUNKS, OpenVINOBackend
from app.inference.backends.openvino_graph import join_doublings, narrow_by_phases
from app.inference.backends.tensorflow import TensorFlowBackend
from app.inference.bundle import find_bundle, load_bundle
from app.inference.model import Model
from benchmarks.serving.service import MODELS

BUNDLE = find_bundle(MODELS, "nodule-classifier")
SIZE_PX = load_bundle(BUNDLE).manifest.input.size_px
SAME = 1e-4  # float32 sums in another order
SEED = 11


def noise(count: int, seed: int = SEED) -> NDArray[np.float32]:
    """Patches (count, size, size, 1) of noise over the range of lung, soft tissue and bone."""
    shape = (count, SIZE_PX, SIZE_PX, 1)
    return 400 * np.random.default_rng(seed).standard_normal(shape, np.float32) - 400


def nodules(count: int) -> NDArray[np.float32]:
    """Patches (count, size, size, 1) of ever larger, ever denser spheres in lung."""
    along = np.arange(SIZE_PX) - (SIZE_PX - 1) / 2
    radius = np.hypot(along[:, None], along)
    sizes = np.linspace(2, SIZE_PX / 3, count)
    inside = (radius < sizes[:, None, None])[..., None].astype(np.float32)
    hu: NDArray[np.float32] = inside * (550 + 15 * sizes).astype(np.float32)[:, None, None, None] - 850
    return hu + np.float32(0.05) * noise(count)


def loaded(backend: Backend) -> Backend:
    backend.load(BUNDLE)
    return backend


@pytest.fixture(scope="module")
def openvino() -> Backend:
    return loaded(OpenVINOBackend(2))


@pytest.fixture(scope="module")
def tensorflow() -> Backend:
    return loaded(TensorFlowBackend(2))


def assert_same(found: Outputs, expected: Outputs) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].shape == values.shape, name
        assert found[name].dtype == np.float32, name
        np.testing.assert_allclose(found[name], values, rtol=0, atol=SAME, err_msg=name)


def outputs_of(model: Any, hu: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    found = ov.Core().compile_model(model, "CPU", exact)(hu)
    return {port.get_any_name(): values.copy() for port, values in found.items()}


def test_doublings_of_the_shipped_network_are_joined_and_nothing_it_says_changes() -> None:
    hu = nodules(2)
    model = ov.Core().read_model(BUNDLE)
    model.reshape([2, SIZE_PX, SIZE_PX, 1])
    as_written = outputs_of(model, hu)
    assert join_doublings(model) == 3  # one in the encoder, two on the way to the outline
    assert join_doublings(model) == 0
    assert_same(outputs_of(model, hu), as_written)


def test_the_narrow_convolution_of_the_shipped_network_is_computed_by_phases_and_nothing_it_says_changes() -> None:
    hu = np.concatenate([nodules(2), noise(2)])
    model = ov.Core().read_model(BUNDLE)
    model.reshape([4, SIZE_PX, SIZE_PX, 1])
    as_written = outputs_of(model, hu)
    assert narrow_by_phases(model) == 0  # the doublings are not joined yet
    join_doublings(model)
    assert narrow_by_phases(model) == 1
    assert narrow_by_phases(model) == 0
    assert_same(outputs_of(model, hu), as_written)


def doubling_network(
    outputs: int, mode: str = "nearest", kernel: int = 3, reader: int = 1, coordinates: str = "asymmetric"
) -> Any:
    """A doubled image (3 channels) beside one (2 channels) of 8 x 6, convolved, normalised, activated and read."""
    from openvino import opset13 as ops

    rng = np.random.default_rng(7)

    def weights(*shape: int) -> NDArray[np.float32]:
        return rng.normal(size=shape).astype(np.float32)

    small = ops.parameter([1, 3, 4, 3], np.float32, name="small")
    beside = ops.parameter([1, 2, 8, 6], np.float32, name="beside")
    scales = np.array([2, 2], np.float32)
    doubled = ops.interpolate(
        small,
        scales,
        mode,
        "scales",
        axes=np.array([2, 3]),
        coordinate_transformation_mode=coordinates,
        nearest_mode="floor",
    )
    pad = [kernel // 2] * 2
    both = ops.concat([doubled, beside], 1)
    wide = ops.convolution(both, weights(outputs, 5, kernel, kernel), [1, 1], pad, pad, [1, 1])
    normalised = ops.add(ops.multiply(wide, weights(1, outputs, 1, 1)), weights(1, outputs, 1, 1))
    pad = [reader // 2] * 2
    read = ops.convolution(ops.relu(normalised), weights(3, outputs, reader, reader), [1, 1], pad, pad, [1, 1])
    read.output(0).set_names({"read"})
    return ov.Model([read], [small, beside])


def answer_of(model: Any) -> NDArray[np.float32]:
    rng = np.random.default_rng(SEED)
    found = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(
        [rng.normal(size=tuple(port.shape)).astype(np.float32) for port in model.inputs]
    )
    return np.array(found["read"])


@pytest.mark.parametrize("outputs", [1, 3, 8])
def test_phases_give_what_the_doubled_image_gives_to_its_edges(outputs: int) -> None:
    model = doubling_network(outputs)
    as_written = answer_of(model)
    assert narrow_by_phases(model) == 1
    np.testing.assert_allclose(answer_of(model), as_written, rtol=0, atol=SAME)


@pytest.mark.parametrize(
    "other",
    [{"outputs": 9}, {"mode": "linear"}, {"coordinates": "align_corners"}, {"kernel": 1}, {"reader": 3}],
    ids=str,
)
def test_what_only_looks_like_a_narrow_convolution_stays_as_it_is(other: dict[str, Any]) -> None:
    model = doubling_network(**{"outputs": 3, **other})
    as_written = answer_of(model)
    assert narrow_by_phases(model) == 0
    np.testing.assert_array_equal(answer_of(model), as_written)


@pytest.mark.parametrize("count", [1, 2, 3, max(CHUNKS), max(CHUNKS) + 1, 32])
def test_openvino_agrees_with_tensorflow_at_every_batch(openvino: Backend, tensorflow: Backend, count: int) -> None:
    for hu in (noise(count), nodules(count)):
        assert_same(openvino.run(hu), tensorflow.run(hu))


def test_openvino_agrees_with_tensorflow_on_real_patches(
    openvino: Backend, tensorflow: Backend, shared_data: Path
) -> None:
    with np.load(shared_data / "lidc-nodules" / "patches.npz") as patches:
        hu = patches["hu"]
    first = (hu.shape[1] - SIZE_PX) // 2
    inside = slice(first, first + SIZE_PX)
    chosen = hu[:: len(hu) // 300, inside, inside, None].astype(np.float32)
    assert len(chosen) >= 300
    assert_same(openvino.run(chosen), tensorflow.run(chosen))


@pytest.mark.parametrize("backend", [OpenVINOBackend, TensorFlowBackend], ids=lambda backend: backend.name)
def test_the_golden_case_is_reproduced(backend: type[OpenVINOBackend | TensorFlowBackend]) -> None:
    assert Model.load(load_bundle(BUNDLE), backend(1)).backend.name == backend.name


def test_what_was_returned_is_never_overwritten(openvino: Backend) -> None:
    first = openvino.run(noise(5))
    kept = {name: values.copy() for name, values in first.items()}
    for seed in range(SEED + 1, SEED + 4):
        openvino.run(noise(5, seed))
    for name, values in first.items():
        np.testing.assert_array_equal(values, kept[name])
        assert values.flags.owndata
        assert values.flags.writeable


def test_a_patch_is_judged_alike_in_any_company(openvino: Backend) -> None:
    hu = nodules(9)
    together = openvino.run(hu)
    for number in range(len(hu)):
        alone = openvino.run(hu[number : number + 1])
        for name, values in together.items():
            np.testing.assert_allclose(alone[name][0], values[number], rtol=0, atol=SAME, err_msg=name)


def test_threads_get_the_answers_to_their_own_patches(openvino: Backend) -> None:
    callers = 8
    together = threading.Barrier(callers)
    batches = [noise(1 + number % 6, seed=number) for number in range(callers)]
    expected = [openvino.run(hu) for hu in batches]

    def ask(number: int) -> list[Outputs]:
        together.wait()
        return [openvino.run(batches[number]) for _ in range(20)]

    with ThreadPoolExecutor(callers) as pool:
        for answers, wanted in zip(pool.map(ask, range(callers)), expected, strict=True):
            for answer in answers:
                for name, values in wanted.items():
                    np.testing.assert_array_equal(answer[name], values)


def test_no_patches_give_no_answers(openvino: Backend) -> None:
    outputs = openvino.run(noise(0))
    assert outputs["malignancy"].shape == (0,)
    assert outputs["mask"].shape == (0, SIZE_PX, SIZE_PX)


def test_patches_of_another_size_are_refused(openvino: Backend) -> None:
    with pytest.raises(ValueError, match=rf"\({SIZE_PX}, {SIZE_PX}, 1\)"):
        openvino.run(noise(2)[:, :, :1])


def test_patches_need_not_be_contiguous(openvino: Backend) -> None:
    hu = noise(6)
    flipped = hu[::-1, :, ::-1]
    assert_same(openvino.run(flipped), openvino.run(np.ascontiguousarray(flipped)))


@pytest.mark.parametrize("backend", [OpenVINOBackend, TensorFlowBackend], ids=lambda backend: backend.name)
def test_what_is_no_savedmodel_is_refused_by_name(
    tmp_path: Path, backend: type[OpenVINOBackend | TensorFlowBackend]
) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=str(tmp_path)):
        backend(1).load(tmp_path)


ALONE = """
import sys
from pathlib import Path
import numpy as np
from app.inference.bundle import load_bundle
from app.inference.model import Model, create_backend
model = Model.load(load_bundle(Path(sys.argv[2])), create_backend(sys.argv[1], 1))
runtimes = {"tensorflow", "keras", "openvino", "torch", "onnxruntime", "jax"}
print(model.backend.name, *sorted(runtimes & sys.modules.keys()))
"""


@pytest.mark.parametrize(("setting", "printed"), [("auto", "openvino openvino"), ("openvino", "openvino openvino")])
def test_tensorflow_is_never_imported_beside_openvino(setting: str, printed: str) -> None:
    command = [sys.executable, "-c", ALONE, setting, str(BUNDLE)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert said.stdout.strip() == printed, said.stderr
