"""The candidate filter: what it refuses to load, and that scores belong to the candidates they are given for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import BundleError
from app.imaging.ct import CTSlice, Orientation, SliceSource
from app.imaging.volume import CTVolume
from app.inference.backends import Outputs
from app.inference.bundle import (
    CARD_FILE,
    MANIFEST_FILE,
    EncodedArray,
    GoldenCase,
    InputContract,
    Interval,
    bundle_files,
    file_digest,
)
from app.inference.detector import (
    BATCH,
    Detector,
    DetectorManifest,
    DetectorPerformance,
    ScoreThreshold,
    SecondReader,
    best_apart,
)

SIZE_PX = 16
FIGURE = Interval(value=0.9, low=0.8, high=0.95)


class MeanBackend:
    """The logit is the patch's mean in HU, divided by 100."""

    name = "mean"

    def __init__(self, offset: float = 0.0) -> None:
        self.batches: list[int] = []
        self.offset = offset

    @staticmethod
    def is_available() -> bool:
        return True

    def load(self, path: Path) -> None:
        assert (path / "saved_model.pb").is_file()

    def run(self, hu: NDArray[np.float32]) -> Outputs:
        assert hu.dtype == np.float32
        assert hu.shape[1:] == (SIZE_PX, SIZE_PX, 1)
        self.batches.append(len(hu))
        return {"nodule": (hu.mean(axis=(1, 2, 3)) / 100 + self.offset).astype(np.float32)}


@dataclass(frozen=True)
class Place:
    centre_px: tuple[float, float]
    slice_position: float = 0.0
    diameter_mm: float = 5.0
    zoom: float = 1.0


def threshold(per: str) -> ScoreThreshold:
    return ScoreThreshold.model_validate(
        {"score": 1.5 if per == "slice" else 4.0, "per": per, "chosen_for": "tests", "sensitivity": FIGURE,
         "false_positives": FIGURE}
    )  # fmt: skip


def manifest(path: Path) -> DetectorManifest:
    hu = np.full((SIZE_PX, SIZE_PX), 40, np.int16)
    return DetectorManifest(
        schema_version=1,
        name="nodule-detector",
        version=1,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        description="arithmetic instead of a network",
        intended_use="tests",
        input=InputContract(size_px=SIZE_PX, spacing_mm=0.8, clip_hu=(-1000, 400)),
        outputs=("nodule",),
        slice_threshold=threshold("slice"),
        series_threshold=threshold("series"),
        training_data=(),
        hard_negatives=(),
        performance=DetectorPerformance(command="none", protocol="none", plantings=0, patients=0, figures={}),
        golden=GoldenCase(
            description="flat",
            hu=EncodedArray.encode(hu),
            outputs={"nodule": EncodedArray.encode(np.array(0.4, np.float32))},
            tolerance=1e-3,
        ),
        digests={name: file_digest(path / name) for name in bundle_files(path)},
    )


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "nodule-detector" / "1"
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"arithmetic needs no graph")
    (path / CARD_FILE).write_text("# card\n", "utf-8")
    (path / MANIFEST_FILE).write_text(manifest(path).model_dump_json(), "utf-8")
    return path


def stripes(columns: int = 200) -> NDArray[np.int16]:
    """Rows of 40 pixels, each column's value its number."""
    return np.broadcast_to(np.arange(columns, dtype=np.int16), (40, columns)).copy()


def volume() -> CTVolume:
    hu = np.stack([stripes() + 100 * k for k in range(12)]).astype(np.int16)
    return CTVolume(
        hu,
        (0.8, 0.8, 0.8),
        Orientation((1, 0, 0), (0, 1, 0)),
        tuple((0.0, 0.0, 0.8 * k) for k in range(12)),
        (SliceSource("array", 40, 200),) * 12,
    )


def test_scores_belong_to_their_candidates(bundle: Path) -> None:
    detector = Detector.load(bundle, MeanBackend())
    columns = np.random.default_rng(1).uniform(20, 180, BATCH + 7)
    scores = detector.score_slice(SLICE, [Place((float(c), 20.0)) for c in columns])
    np.testing.assert_allclose(scores, columns / 100, atol=1e-4)
    assert scores.dtype == np.float32


SLICE = CTSlice(stripes().astype(np.float32), (0.8, 0.8), SliceSource("array", 40, 200))


def with_second_reader(bundle: Path, second: SecondReader) -> Detector:
    read = DetectorManifest.model_validate_json((bundle / MANIFEST_FILE).read_text("utf-8"))
    changed = read.model_copy(update={"second_reader": second})
    (bundle / MANIFEST_FILE).write_text(changed.model_dump_json(), "utf-8")
    return Detector.load(bundle, MeanBackend())


def test_without_second_reader_the_threshold_decides_what_passes(bundle: Path) -> None:
    detector = Detector.load(bundle, MeanBackend())
    passed = detector.passed(SLICE, [Place((100.0, 20.0)), Place((140.0, 20.0)), Place((180.0, 20.0))])
    # The score is the column divided by 100; the threshold is 1.5.
    assert [place.centre_px[0] for place, _ in passed] == [180.0]


def test_what_is_to_be_read_again_passes_from_a_score_of_its_own(bundle: Path) -> None:
    second = SecondReader(model="nodule-classifier", from_score=0.9, chosen_for="tests", weight=0.5)
    detector = with_second_reader(bundle, second)
    passed = detector.passed(SLICE, [Place((80.0, 20.0)), Place((100.0, 20.0)), Place((140.0, 20.0))])
    assert [place.centre_px[0] for place, _ in passed] == [140.0, 100.0]


def test_a_certain_second_reader_has_a_finite_say() -> None:
    second = SecondReader(model="nodule-classifier", from_score=0.0, chosen_for="tests", weight=1.0)
    joint = second.joint(np.array([2.0, 2.0], np.float32), np.array([0.0, 1.0], np.float32))
    assert joint.tolist() == pytest.approx([2 - 13.8155, 2 + 13.8155], abs=1e-3)


def test_of_candidates_on_one_place_the_best_stays() -> None:
    points_mm = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 30.0], [9.0, 30.0], [60.0, 0.0]])
    diameters_mm = np.array([5.0, 5.0, 20.0, 5.0, 5.0])
    scores = np.array([1.0, 2.0, 0.5, 0.7, 0.1], np.float32)
    # 3 mm apart are less than the smallest nodule; 9 mm lie within the radius of the large one.
    assert best_apart(points_mm, diameters_mm, scores) == [1, 3, 4]
    assert best_apart(np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.float32)) == []


def test_a_large_candidate_is_seen_at_larger_pixels(bundle: Path) -> None:
    ramp = np.tile(np.maximum(np.arange(200, dtype=np.float32) - 100, 0), (40, 1))
    ct_slice = CTSlice(ramp, (0.8, 0.8), SliceSource("array", 40, 200))
    detector = Detector.load(bundle, MeanBackend())
    plain, large = detector.score_slice(ct_slice, [Place((100.0, 20.0)), Place((100.0, 20.0), zoom=2.0)])
    assert large == pytest.approx(2 * plain, rel=0.05)


def test_no_candidates_have_no_scores(bundle: Path) -> None:
    backend = MeanBackend()
    detector = Detector.load(bundle, backend)
    backend.batches.clear()
    assert detector.score_slice(SLICE, []).shape == (0,)
    assert detector.passed(SLICE, []) == []
    assert detector.score_volume(volume(), []).shape == (0,)
    assert backend.batches == []


def test_a_series_score_is_the_sum_over_three_planes(bundle: Path) -> None:
    detector = Detector.load(bundle, MeanBackend())
    rng = np.random.default_rng(2)
    places = [Place((float(c), 20.0), 5.5) for c in rng.uniform(20, 180, 50)]
    seen: list[tuple[int, int]] = []
    scores = detector.score_volume(volume(), places, lambda done, of: seen.append((done, of)))
    # The axial patch lies in slice 6 (5.5 rounds to the even one), the others reach evenly around 5.5, edges repeated.
    around = np.clip(5.5 + (np.arange(SIZE_PX) - 7.5), 0, 11).mean()
    coronal = [p.centre_px[0] + 100 * around for p in places]
    sagittal = [round(p.centre_px[0]) + 100 * around for p in places]
    axial = [p.centre_px[0] + 600 for p in places]
    np.testing.assert_allclose(scores, np.sum([axial, coronal, sagittal], axis=0) / 100, atol=2e-3)
    assert seen[-1] == (50, 50)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_what_progress_raises_ends_the_work(bundle: Path) -> None:
    backend = MeanBackend()
    detector = Detector.load(bundle, backend)
    backend.batches.clear()

    def stop(done: int, of: int) -> None:
        raise InterruptedError(f"{done} of {of}")

    with pytest.raises(InterruptedError):
        detector.score_volume(volume(), [Place((50.0, 20.0), 5.0)] * 200, stop)
    assert len(backend.batches) == 1


def test_thresholds_are_the_manifests(bundle: Path) -> None:
    detector = Detector.load(bundle, MeanBackend())
    assert (detector.slice_threshold, detector.series_threshold) == (1.5, 4.0)


def test_another_answer_to_the_golden_case_is_refused(bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"golden case, a difference of 0\.002"):
        Detector.load(bundle, MeanBackend(offset=0.002))
    Detector.load(bundle, MeanBackend(offset=0.0005))


def test_a_changed_file_is_refused(bundle: Path) -> None:
    (bundle / "saved_model.pb").write_bytes(b"another graph")
    with pytest.raises(BundleError, match=r"saved_model\.pb: sha256"):
        Detector.load(bundle, MeanBackend())


def test_an_unlisted_file_is_refused(bundle: Path) -> None:
    (bundle / "extra").write_bytes(b"")
    with pytest.raises(BundleError, match="does not list"):
        Detector.load(bundle, MeanBackend())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slice_threshold": threshold("series")}, "slice_threshold must be per slice"),
        ({"input": InputContract(size_px=32, spacing_mm=0.8, clip_hu=(-1000, 400))}, "the golden input is"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(bundle: Path, change: dict[str, object], message: str) -> None:
    broken = manifest(bundle).model_copy(update=change)
    (bundle / MANIFEST_FILE).write_text(broken.model_dump_json(), "utf-8")
    with pytest.raises(BundleError, match=message):
        Detector.load(bundle, MeanBackend())
