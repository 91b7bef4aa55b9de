"""A graph that could do anything but compute is refused before a runtime sees it; those that are served pass."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from app.errors import BundleError
from app.inference.backends import Backend
from app.inference.backends.auto import AutoBackend
from app.inference.backends.openvino import OpenVINOBackend
from app.inference.backends.tensorflow import TensorFlowBackend
from app.inference.bundle import MANIFEST_FILE
from app.inference.graph_operations import GRAPH_FILE, require_computing
from benchmarks.fuzz.damage import damaged
from benchmarks.serving.service import MODELS

BUNDLES: Final = sorted(path.parent for path in MODELS.glob(f"*/*/{GRAPH_FILE}"))
SAVER: Final = "__inference__traced_save_1"


# Protocol buffers as they are written: a field's number and wire type, a length, the value.
def message(**fields: bytes | str | list[bytes]) -> bytes:
    """Fields named `_NUMBER`, each once or several times."""
    return b"".join(
        varint(int(name[1:]) << 3 | 2) + varint(len(value)) + value
        for name, values in fields.items()
        for value in ([_bytes(values)] if isinstance(values, bytes | str) else values)
    )


def _bytes(value: bytes | str) -> bytes:
    return value.encode() if isinstance(value, str) else value


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def node(name: str, operation: str, inputs: tuple[str, ...] = (), calls: str | None = None) -> bytes:
    """A node; what it `calls` is the function in its attribute `f`."""
    attribute = [] if calls is None else [message(_1="f", _2=message(_10=message(_1=calls)))]
    return message(_1=name, _2=operation, _3=[each.encode() for each in inputs], _5=attribute)


def function(name: str, *nodes: bytes) -> bytes:
    return message(_1=message(_1=name), _3=list(nodes))


def model(
    *nodes: bytes, functions: tuple[bytes, ...] = (), output: str = "out:0", objects: tuple[str, ...] = ()
) -> bytes:
    """A SavedModel with one signature, and functions that its object graph names."""
    signature = message(_1="serving_default", _2=message(_2=message(_1="probability", _2=message(_1=output))))
    named = [message(_1=each, _2=b"") for each in objects]
    graph = message(_1=list(nodes), _2=message(_1=list(functions)))
    return message(_2=message(_2=graph, _5=signature, _7=message(_2=named)))


def of(folder: Path, graph: bytes) -> Path:
    (folder / GRAPH_FILE).write_bytes(graph)
    return folder


GOOD: Final = (node("in", "Placeholder"), node("out", "StatefulPartitionedCall", ("in",), "network"))
NETWORK: Final = function("network", node("conv", "Conv2D"), node("relu", "Relu", ("conv",)))
SAVING: Final = function(SAVER, node("merge", "MergeV2Checkpoints"), node("save", "SaveV2"))
SAVED: Final = node("StatefulPartitionedCall_1", "StatefulPartitionedCall", ("saver_filename",), SAVER)


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.parent.name)
def test_every_shipped_bundle_passes(path: Path) -> None:
    require_computing(path)


def test_no_bundle_was_left_out() -> None:
    assert sorted(path.parent for path in MODELS.glob(f"*/*/{MANIFEST_FILE}")) == BUNDLES


def test_a_network_with_the_functions_that_save_it_passes(tmp_path: Path) -> None:
    require_computing(of(tmp_path, model(*GOOD, SAVED, functions=(NETWORK, SAVING), objects=("network",))))


BRANCHES: Final = message(_1="branches", _2=message(_1=message(_9=message(_1=SAVER))))
BRANCHING: Final = message(_1="branch", _2="If", _5=BRANCHES)
REACHING: Final = {
    "in the graph": model(*GOOD, node("x", "ReadFile"), functions=(NETWORK,)),
    "in a function": model(*GOOD, functions=(function("network", node("x", "WriteFile")),)),
    "in one that nobody calls": model(*GOOD, functions=(NETWORK, function("other", node("x", "PyFunc")))),
    "of no known kind": model(*GOOD, node("x", "Ünknown\n"), functions=(NETWORK,)),
    "saving, as the network": model(*GOOD, functions=(function("network", node("x", "SaveV2")),)),
    "saving, called by the network": model(*GOOD, functions=(function("network", SAVED), SAVING)),
    "saving, named by the object graph": model(*GOOD, SAVED, functions=(NETWORK, SAVING), objects=(SAVER,)),
    "saving, before the output": model(
        GOOD[0], node("out", "Identity", ("^StatefulPartitionedCall_1",)), SAVED, functions=(SAVING,)
    ),
    "restoring, as the output": model(node("out", "RestoreV2")),
    "saving, in a branch": model(*GOOD, functions=(function("network", BRANCHING), SAVING)),
}


@pytest.mark.parametrize("where", REACHING)
def test_an_operation_that_reaches_further_is_refused_wherever_it_is(tmp_path: Path, where: str) -> None:
    with pytest.raises(BundleError, match="operations"):
        require_computing(of(tmp_path, REACHING[where]))


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb"])
def test_a_second_graph_that_a_runtime_might_prefer_is_refused(tmp_path: Path, name: str) -> None:
    of(tmp_path, model(*GOOD, functions=(NETWORK,)))
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(BundleError, match=name):
        require_computing(tmp_path)


def test_a_damaged_graph_is_refused_or_computes(tmp_path: Path) -> None:
    whole = (BUNDLES[0] / GRAPH_FILE).read_bytes()
    for seed in range(200):
        of(tmp_path, damaged(whole, random.Random(seed)))
        with suppress(BundleError):
            require_computing(tmp_path)
    with pytest.raises(BundleError):
        require_computing(tmp_path / "nothing")


RUNTIMES: Final[dict[str, Backend]] = {
    "openvino": OpenVINOBackend(1),
    "tensorflow": TensorFlowBackend(1),
    "auto": AutoBackend([OpenVINOBackend(1), TensorFlowBackend(1)]),
}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_nothing_of_a_graph_that_writes_files_is_ever_run(tmp_path: Path, runtime: str) -> None:
    import tensorflow as tf

    written = tmp_path / "written"

    class Sly(tf.Module):  # type: ignore[misc]  # TensorFlow ships no types
        @tf.function(input_signature=[tf.TensorSpec((None, 4, 4, 1), tf.float32, name="hu")])  # type: ignore[untyped-decorator]
        def __call__(self, hu: tf.Tensor) -> dict[str, tf.Tensor]:
            tf.io.write_file(str(written), "here")
            return {"malignancy": tf.reduce_mean(hu, axis=(1, 2, 3))}

    sly = Sly()
    tf.saved_model.save(sly, str(tmp_path / "bundle"), signatures={"serving_default": sly.__call__})
    shutil.copy(BUNDLES[0] / MANIFEST_FILE, tmp_path / "bundle")
    with pytest.raises(BundleError, match="WriteFile"):
        RUNTIMES[runtime].load(tmp_path / "bundle")
    assert not written.exists()
