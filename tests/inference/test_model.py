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
from app.inference.registry import ModelRegistry
from tests.fakes import ArithmeticBackend, arithmetic_detector, write_bundle

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
    registry = ModelRegistry(load_bundle(write_bundle(tmp_path)), backend, arithmetic_detector(tmp_path))
    seen = [registry.status]
    with pytest.raises(ModelLoading):
        registry.model()
    registry.load()
    seen.append(registry.status)
    assert backend.loaded_from == registry.bundle.path
    registry.stop()
    seen.append(registry.status)
    assert seen == ["loading", "ready", "stopping"]
    assert registry.model().bundle is registry.bundle, "what is already here is still answered"


def test_registry_that_fails_says_so(tmp_path: Path) -> None:
    registry = ModelRegistry(load_bundle(write_bundle(tmp_path)), DriftingBackend(shift), arithmetic_detector(tmp_path))
    with pytest.raises(BundleError):
        registry.load()
    assert registry.status == "failed"
