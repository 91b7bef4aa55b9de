"""Whether a picture is an axial slice of a chest: what is said at which score, by a network that is arithmetic, and
what the shipped one says of phantoms and real slices."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import BundleError
from app.imaging.ct import QualityNote
from app.imaging.read import read_slice
from app.inference.backends import Outputs
from app.inference.bundle import EncodedArray, GoldenCase, Interval, TrainingData, find_bundle
from app.inference.model import create_backend
from app.inference.view import CODE, NAME, OUTPUT, ThumbnailContract, ViewCheck, ViewManifest, ViewPerformance
from app.settings import Settings
from phantoms.lung_volumes import chest_volume, series_volume, slice_of, volume_of
from phantoms.slices import chest
from tests.fakes import Held

SIZE_PX = 32


class ArithmeticView(Held):
    """The logit is (mean HU + 500) / 100."""

    def answer(self, hu: NDArray[np.float32]) -> Outputs:
        return {OUTPUT: ((hu.mean(axis=(1, 2, 3)) + 500) / 100).astype(np.float32)}


def manifest(**changed: Any) -> ViewManifest:
    hu = np.full((SIZE_PX, SIZE_PX), -300, np.int16)
    figure = Interval(value=0.9, low=0.8, high=0.95)
    given: dict[str, Any] = {
        "schema_version": 1,
        "name": NAME,
        "version": 1,
        "created": datetime(2026, 1, 1, tzinfo=UTC),
        "description": "arithmetic instead of a network",
        "intended_use": "tests",
        "input": ThumbnailContract(size_px=SIZE_PX, clip_hu=(-1000, 400)),
        "outputs": (OUTPUT,),
        "rejected_below": 0.0,
        "doubtful_below": 2.0,
        "training_data": (
            TrainingData(source="none", licence="none", patients=None, items=0, digest="none", split="none"),
        ),
        "performance": ViewPerformance(command="none", protocol="none", figures={"rejected": figure}),
        "golden": GoldenCase(
            description="flat",
            hu=EncodedArray.encode(hu),
            outputs={OUTPUT: EncodedArray.encode(np.array(2, np.float32))},
            tolerance=1e-3,
        ),
        "digests": {},
    }
    return ViewManifest.model_validate(given | changed)


def write_view(folder: Path, **changed: Any) -> Path:
    path = folder / NAME / "1"
    path.mkdir(parents=True)
    (path / "manifest.json").write_text(manifest(**changed).model_dump_json(), "utf-8")
    return path


@pytest.fixture
def view(tmp_path: Path) -> ViewCheck:
    check = ViewCheck.verified(write_view(tmp_path), ArithmeticView())
    check.load()
    return check


def said(notes: tuple[QualityNote, ...]) -> list[tuple[str, str, bool]]:
    return [(note.code, note.severity, note.bars_normal) for note in notes]


def flat(hu: int) -> NDArray[np.int16]:
    return np.full((256, 256), hu, np.int16)


@pytest.mark.parametrize(
    ("hu", "expected"),
    [(-200, []), (-300, []), (-310, [(CODE, "warning", True)]), (-510, [(CODE, "error", True)])],
)
def test_what_is_said_at_which_score(view: ViewCheck, hu: int, expected: list[tuple[str, str, bool]]) -> None:
    assert said(view.notes(slice_of(flat(hu)))) == expected
    assert said(view.volume_notes(volume_of(np.stack([flat(hu)] * 9), (2.5, 1.4, 1.4)))) == expected


def test_a_remark_goes_with_the_slice_or_series(view: ViewCheck) -> None:
    ct_slice, volume = slice_of(flat(-510)), volume_of(np.stack([flat(-510)] * 9), (2.5, 1.4, 1.4))
    assert view.remarked(ct_slice).notes == view.notes(ct_slice)
    assert view.remarked_volume(volume).notes == view.volume_notes(volume)


def test_the_score_is_named(view: ViewCheck) -> None:
    (note,) = view.notes(slice_of(flat(-620)))
    assert "score -1.2; judged from 0" in note.message
    (note,) = view.notes(slice_of(flat(-430)))
    assert "score 0.7; sure from 2" in note.message


def test_a_narrow_view_is_not_asked_about(view: ViewCheck) -> None:
    backend = view.backend
    assert isinstance(backend, ArithmeticView)
    asked = len(backend.batches)
    assert view.notes(slice_of(flat(-900), (0.8, 0.8))) == ()
    assert view.volume_notes(volume_of(np.stack([flat(-900)] * 9), (2.5, 0.8, 0.8))) == ()
    assert len(backend.batches) == asked


def test_a_series_is_judged_by_its_middle(view: ViewCheck) -> None:
    ends = np.stack([flat(-900)] * 4 + [flat(-100)] * 12 + [flat(-900)] * 4)
    assert view.volume_notes(volume_of(ends, (2.5, 1.4, 1.4))) == ()
    middle = np.stack([flat(-100)] * 4 + [flat(-900)] * 12 + [flat(-100)] * 4)
    assert said(view.volume_notes(volume_of(middle, (2.5, 1.4, 1.4)))) == [(CODE, "error", True)]


def test_a_network_that_says_something_else_is_refused(tmp_path: Path) -> None:
    golden = manifest().golden.model_copy(update={"outputs": {OUTPUT: EncodedArray.encode(np.array(3, np.float32))}})
    check = ViewCheck.verified(write_view(tmp_path, golden=golden), ArithmeticView())
    with pytest.raises(BundleError, match="golden case"):
        check.load()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"rejected_below": 3.0}, "must not be above"),
        ({"input": ThumbnailContract(size_px=48, clip_hu=(-1000, 400))}, "golden case"),
    ],
)
def test_a_manifest_that_contradicts_itself(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        manifest(**changed)


@pytest.fixture(scope="module")
def shipped() -> ViewCheck:
    settings = Settings()
    check = ViewCheck.verified(find_bundle(settings.models_dir, NAME), create_backend(settings.backend, 1))
    check.load()
    return check


class TestShipped:
    def test_the_generated_chest_is_one(self, shipped: ViewCheck) -> None:
        assert shipped.notes(slice_of(chest())) == ()
        assert shipped.volume_notes(chest_volume(slices=20)) == ()
        turned = np.ascontiguousarray(np.rot90(chest()))
        assert shipped.notes(slice_of(turned)) == ()

    @pytest.mark.parametrize("scan", ["lidc-0012", "lidc-0001", "cptac-c3n-00247"])
    def test_whole_scans(self, shared_data: Path, shipped: ViewCheck, scan: str) -> None:
        """Learned from: this says that pictures reach the network as they did in training, no more."""
        volume = series_volume(shared_data / "series" / scan)
        assert shipped.volume_notes(volume) == ()
        z_mm, y_mm, x_mm = volume.spacing_mm
        upright = volume.hu[::-1]
        middle = volume.hu.shape[1] // 2
        coronal = slice_of(np.ascontiguousarray(upright[:, middle]), (z_mm, x_mm))
        sagittal = slice_of(np.ascontiguousarray(upright[:, :, middle // 2 * 3]), (z_mm, y_mm))
        for plane in (coronal, sagittal):
            assert said(shipped.notes(plane)) == [(CODE, "error", True)]

    def test_other_regions_are_rejected(self, shared_data: Path, shipped: ViewCheck) -> None:
        folder = shared_data / "chest-slices"
        with (folder / "slices.csv").open(encoding="utf-8") as stream:
            regions = {row["file"]: row["region"] for row in csv.DictReader(stream)}
        rejected = {
            name
            for name in regions
            if "error" in {note.severity for note in shipped.notes(read_slice((folder / name).read_bytes()))}
        }
        others = {name for name, region in regions.items() if region not in ("chest", "lung base")}
        assert len(others) == 18
        assert others <= rejected
        # 14 cm² of lung: an abdomen, to the network.
        assert rejected - others <= {"0074.dcm"}
