"""Prediction sets by class and size, on quantiles made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import BundleError
from app.imaging.ct import CTSlice, SliceSource
from app.imaging.patches import extract_patch
from app.inference.bundle import MANIFEST_FILE, load_bundle
from app.inference.conformal import Conformal, SizeQuantiles, soft_diameter_mm
from app.inference.findings import finding_on
from app.inference.model import Model
from app.inference.patch_outputs import run_patches
from tests.fakes import ArithmeticBackend, write_bundle

BY_SIZE = Conformal(
    coverage=0.9,
    quantiles={
        "cancer_suspected": {
            "quantiles": (0.8, 0.2),
            "edges_mm": (10.0,),
            "nodules": (25, 90),
            "pooled_mm": (6.0, 20.0),
        },
        "normal": {"quantiles": (0.3, 0.6), "edges_mm": (10.0,)},
    },
    min_nodules=20,
)


@pytest.mark.parametrize(
    ("probability", "expected"),
    [
        (0.9, ("cancer_suspected",)),
        (0.6, ("cancer_suspected",)),
        (0.35, ()),
        (0.3, ("normal",)),
        (0.0, ("normal",)),
    ],
)
@pytest.mark.parametrize("diameter_mm", [0.0, 9.0, 40.0])
def test_one_quantile_a_class_holds_for_every_size(
    probability: float, expected: tuple[str, ...], diameter_mm: float
) -> None:
    conformal = Conformal(coverage=0.9, quantiles={"cancer_suspected": 0.4, "normal": 0.3})
    assert conformal.prediction_set(probability, diameter_mm) == expected
    wide = Conformal(coverage=0.9, quantiles={"cancer_suspected": 0.95, "normal": 0.95})
    assert wide.prediction_set(0.5, diameter_mm) == ("cancer_suspected", "normal")


@pytest.mark.parametrize(
    ("diameter_mm", "expected"),
    [(9.99, ("cancer_suspected",)), (10.0, ("normal",)), (0.0, ("cancer_suspected",)), (90.0, ("normal",))],
)
def test_the_bin_of_the_nodules_size_decides(diameter_mm: float, expected: tuple[str, ...]) -> None:
    assert BY_SIZE.prediction_set(0.5, diameter_mm) == expected


def test_bins_are_said_in_words() -> None:
    assert SizeQuantiles(quantiles=(0.1, 0.2, 0.3), edges_mm=(6.0, 10.5)).bins == ("< 6 mm", "6-10.5 mm", ">= 10.5 mm")
    assert SizeQuantiles(quantiles=(0.1,)).bins == ("all sizes",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantiles": []},
        {"quantiles": [0.5, 0.5], "edges_mm": []},
        {"quantiles": [0.5, 0.5, 0.5], "edges_mm": [10.0, 6.0]},
        {"quantiles": [0.5, 0.5], "edges_mm": [6.0], "nodules": [20]},
        {"quantiles": [1.5]},
        1.5,
    ],
)
def test_quantiles_that_cannot_be_are_refused(tmp_path: Path, wrong: Any) -> None:
    path = write_bundle(tmp_path)
    manifest = json.loads((path / MANIFEST_FILE).read_text())
    manifest["conformal"]["quantiles"]["normal"] = wrong
    (path / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"conformal\.quantiles\.normal"):
        load_bundle(path)


def test_a_manifest_from_before_there_were_bins_loads_and_says_the_same(tmp_path: Path) -> None:
    path = write_bundle(tmp_path)
    manifest = json.loads((path / MANIFEST_FILE).read_text())
    manifest["conformal"] = {"coverage": 0.9, "quantiles": {"cancer_suspected": 0.4, "normal": 0.3}}
    (path / MANIFEST_FILE).write_text(json.dumps(manifest))
    found = load_bundle(path).manifest.conformal
    assert found.quantiles["normal"] == SizeQuantiles(quantiles=(0.3,))
    assert found.prediction_set(0.6, 12.0) == ("cancer_suspected",)


def test_what_is_written_is_read_again() -> None:
    assert Conformal.model_validate_json(BY_SIZE.model_dump_json()) == BY_SIZE


def test_the_soft_diameter_is_that_of_the_area_of_all_probabilities() -> None:
    mask = np.zeros((2, 8, 8), np.float32)
    mask[0, :2], mask[1, :4] = 1.0, 0.5
    np.testing.assert_allclose(soft_diameter_mm(mask, 0.5), np.full(2, 2 * np.sqrt(16 / np.pi) * 0.5))


@pytest.mark.parametrize("zoom", [1.0, 2.0])
def test_a_finding_knows_the_size_that_calibration_took(tmp_path: Path, zoom: float) -> None:
    """The graph does not know that its pixels are larger: neither may who asks for the set of its probability."""
    model = Model.load(load_bundle(write_bundle(tmp_path)), ArithmeticBackend())
    rows, columns = np.mgrid[:200, :200] - 100
    ct_slice = CTSlice(
        np.where(np.hypot(rows, columns) < 15, 40, -850).astype(np.float32),
        (0.7, 0.7),
        SliceSource(kind="array", rows=200, columns=200),
    )
    judged = run_patches([extract_patch(ct_slice, (100.0, 100.0), model.patch_spec.zoomed(zoom))], model)
    seen = soft_diameter_mm(judged.outputs["mask"], model.manifest.input.spacing_mm)[0]
    assert finding_on(0, ct_slice, judged, model, judgeable=True).soft_diameter_mm == seen
    assert seen == pytest.approx(2 * 15 * 0.7 / zoom, abs=0.6)
