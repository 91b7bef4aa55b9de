"""Loading: a backend that does not reproduce the golden case is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import BundleError, ModelLoading
from app.inference.backends import Outputs
from app.inference.bundle import load_bundle
from app.inference.model import Model
from app.inference.registry import Backends, ModelRegistry
from tests.fakes import (
    NAMES,
    ArithmeticBackend,
    ArithmeticLook,
    arithmetic_backends,
    write_bundle,
    write_detector,
    write_models,
    write_second_look,
    write_view,
)

Change = Callable[[dict[str, NDArray[np.float32]]], None]


class DriftingBackend(ArithmeticBackend):
    """Answers as `change` makes it."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self._change = change

    def run(self, hu: NDArray[np.float32]) -> Outputs:
        outputs = dict(super().run(hu))
        self._change(outputs)
        return outputs


def shift(outputs: dict[str, NDArray[np.float32]]) -> None:
    outputs["malignancy"] = outputs["malignancy"] + np.float32(0.01)


def drop(outputs: dict[str, NDArray[np.float32]]) -> None:
    del outputs["mask"]


def spoil(outputs: dict[str, NDArray[np.float32]]) -> None:
    outputs["embedding"] = outputs["embedding"] * np.float32("nan")


@pytest.mark.parametrize(("change", "output"), [(shift, "malignancy"), (drop, "mask"), (spoil, "embedding")])
def test_golden_case_names_the_output_that_differs(tmp_path: Path, change: Change, output: str) -> None:
    bundle = load_bundle(write_bundle(tmp_path))
    with pytest.raises(BundleError, match=f"golden case, output {output}"):
        Model.load(bundle, DriftingBackend(change))


def test_difference_within_the_tolerance_passes(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path, tolerance=0.02))
    assert Model.load(bundle, DriftingBackend(shift)).manifest.name == "nodule-classifier"


def test_registry_goes_from_loading_to_ready_to_stopping(tmp_path: Path) -> None:
    backend = ArithmeticBackend()
    write_models(tmp_path)
    registry = ModelRegistry.verified(tmp_path, NAMES, arithmetic_backends(backend))
    seen = [registry.status]
    with pytest.raises(ModelLoading):
        registry.models()
    registry.load()
    seen.append(registry.status)
    assert backend.loaded_from == registry.bundle.path
    registry.stop()
    seen.append(registry.status)
    assert seen == ["loading", "ready", "stopping"]
    assert registry.models().classifier.bundle is registry.bundle, "what is already here is still answered"


class DriftingLook(ArithmeticLook):
    def answer(self, hu: NDArray[np.float32]) -> Outputs:
        return {name: logits + 0.01 for name, logits in super().answer(hu).items()}


@pytest.mark.parametrize(
    "backends", [arithmetic_backends(DriftingBackend(shift)), arithmetic_backends(second_look=DriftingLook())]
)
def test_registry_that_fails_says_so(tmp_path: Path, backends: Backends) -> None:
    write_models(tmp_path)
    registry = ModelRegistry.verified(tmp_path, NAMES, backends)
    with pytest.raises(BundleError):
        registry.load()
    assert registry.status == "failed"


def test_second_look_measured_behind_another_filter_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    write_detector(tmp_path)
    write_second_look(tmp_path, "sha256:" + "0" * 64)
    write_view(tmp_path)
    with pytest.raises(BundleError, match="measured behind the filter sha256:0"):
        ModelRegistry.verified(tmp_path, NAMES, arithmetic_backends())
