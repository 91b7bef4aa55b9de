"""`auto` takes the fastest runtime that reproduces the bundle, and says why another was passed over."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import BundleError, SettingsError, StartupError
from app.inference.backends import Outputs
from app.inference.backends.auto import AutoBackend
from app.inference.bundle import MANIFEST_FILE, load_bundle
from app.inference.model import BACKENDS, Model, create_backend
from tests.fakes import ArithmeticBackend, write_bundle


class Named(ArithmeticBackend):
    """The arithmetic backend under another name, its malignancy shifted."""

    def __init__(self, name: str, shift: float = 0.0) -> None:
        super().__init__()
        self.name = name
        self._shift = np.float32(shift)

    def run(self, hu: NDArray[np.float32]) -> Outputs:
        outputs = dict(super().run(hu))
        return {**outputs, "malignancy": outputs["malignancy"] + self._shift}


class Broken(Named):
    """Cannot load."""

    def __init__(self, error: Exception) -> None:
        super().__init__("broken")
        self._error = error

    def load(self, path: Path) -> None:
        super().load(path)
        raise self._error


REFUSAL = BundleError(found="an operation it does not know", expected="one it knows", remedy="None.")


def load(tmp_path: Path, candidates: Sequence[Named]) -> Model:
    return Model.load(load_bundle(write_bundle(tmp_path)), AutoBackend(candidates))


def test_the_first_that_agrees_is_taken_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fast, reference = Named("fast"), Named("reference")
    assert load(tmp_path, [fast, reference]).backend.name == "fast"
    assert reference.loaded_from is None
    assert not caplog.records


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        pytest.param(Named("broken", shift=0.01), "golden case, output malignancy", id="drifts"),
        pytest.param(Broken(REFUSAL), "an operation it does not know", id="refuses"),
        pytest.param(Broken(RuntimeError("no such kernel")), "no such kernel", id="fails"),
    ],
)
def test_the_next_is_taken_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, first: Named, reason: str
) -> None:
    assert load(tmp_path, [first, Named("reference")]).backend.name == "reference"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("broken is not used")
    assert reason in record.getMessage()


def test_when_none_agrees_the_last_says_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="The reference runtime does not reproduce this bundle"):
        load(tmp_path, [Named("fast", 0.01), Named("reference", 0.02)])


def test_without_a_golden_case_nothing_is_chosen(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).write_text("{}", "utf-8")
    with pytest.raises(BundleError, match="no golden case"):
        AutoBackend([Named("fast")]).load(tmp_path)


def test_nothing_runs_before_it_is_loaded() -> None:
    with pytest.raises(RuntimeError, match="before load"):
        AutoBackend([Named("fast")]).run(np.zeros((1, 48, 48, 1), np.float32))


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Hides the runtimes in the test's parameter from whoever looks for them."""
    hidden: set[str] = set(request.param)
    found = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in hidden else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


@pytest.mark.parametrize("absent", [{"openvino"}], indirect=True)
@pytest.mark.usefixtures("absent")
def test_a_missing_runtime_is_passed_over_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert create_backend("auto", 1).name == "auto"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "openvino is not used, it is not installed: pip install 'lungscope[openvino]'" in record.getMessage()


@pytest.mark.parametrize("absent", [{"tensorflow"}], indirect=True)
@pytest.mark.usefixtures("absent")
def test_a_missing_reference_is_no_loss(caplog: pytest.LogCaptureFixture) -> None:
    assert create_backend("auto", 1).name == "auto"
    assert not caplog.records


@pytest.mark.parametrize("absent", [{backend.name for backend in BACKENDS}], indirect=True)
@pytest.mark.usefixtures("absent")
@pytest.mark.parametrize(
    ("wanted", "install"), [("openvino", "openvino"), ("tensorflow", "tensorflow"), ("auto", "openvino")]
)
def test_a_runtime_that_is_not_installed_stops_the_start_and_says_how_to_get_it(wanted: str, install: str) -> None:
    with pytest.raises(SettingsError, match=rf"LUNGSCOPE_BACKEND={wanted}, .*lungscope\[{install}\]") as caught:
        create_backend(wanted, 1)
    assert isinstance(caught.value, StartupError)


def test_a_runtime_asked_for_by_name_is_that_one() -> None:
    assert [create_backend(backend.name, 1).name for backend in BACKENDS] == ["openvino", "tensorflow"]
