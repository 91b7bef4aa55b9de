"""Views are cut as serving cuts them, and mirrored where a picture ends."""

from __future__ import annotations

import numpy as np
import pytest

from app.imaging.ct import Orientation, SliceSource
from app.imaging.patches import PatchSpec
from app.imaging.planes import PLANES
from app.imaging.volume import CTVolume
from app.inference.suspicion import slice_fields, volume_fields
from training.second_look.config import LookConfig
from training.second_look.samples import (
    Label,
    LookBatches,
    Place,
    Sample,
    fields_at,
    mirrored_cut,
    section_place,
    with_dome,
)


@pytest.fixture(scope="module")
def volume() -> CTVolume:
    hu = np.random.default_rng(1).normal(-500, 300, (60, 120, 130)).astype(np.int16)
    return CTVolume(
        hu=hu,
        spacing_mm=(2.5, 0.7, 0.7),
        orientation=Orientation((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
        positions_mm=tuple((0.0, 0.0, 2.5 * k) for k in range(60)),
        sources=(SliceSource("array", 120, 130),) * 60,
    )


@pytest.mark.parametrize("zoom", [1.0, 1.2])
def test_fields_are_those_of_serving(volume: CTVolume, recipe: LookConfig, zoom: float) -> None:
    point = (64.3, 60.8, 31.0)
    served = volume_fields(volume, point, recipe.input.specs(zoom))
    for plane, expected in zip(PLANES, served, strict=True):
        found = fields_at(section_place(volume, point, plane, zoom), recipe.input)
        np.testing.assert_allclose(found, expected, atol=0.05)
    ct_slice = volume.slice_at(31)
    np.testing.assert_allclose(slice_fields(ct_slice, point[:2], recipe.input.specs(zoom)), served[0], atol=0.05)


def test_a_picture_is_mirrored_beyond_its_sides() -> None:
    column = np.arange(100, dtype=np.float32)
    place = Place(np.tile(column, (100, 1)), (1.0, 1.0), (50.0, 50.0))
    cut = mirrored_cut(place, PatchSpec(21, 1.0), (np.inf, np.inf, 6.0, 4.0))
    expected = [46, 45, 44, 44 + 1, 46, 47, 48, 49, 50, 51, 52, 53, 54, 53, 52, 51, 50, 49, 48]
    np.testing.assert_allclose(cut[10, 2:], [*expected])


def test_batch_depends_on_its_number_alone(recipe: LookConfig) -> None:
    hu = np.random.default_rng(2).normal(-800, 50, (71, 71)).astype(np.int16)
    sample = Sample(Place(hu, (0.7, 0.7), (35.0, 35.0)), Label(1.0, 1.0, 0.0), radius_mm=5.0)
    batches = LookBatches({"suspicious": (sample,), "luna_nodules": ()}, recipe)
    (fields, targets, weights), (again, _, _), (other, _, _) = (batches(k) for k in (3, 3, 4))
    size, count = recipe.input.size_px, recipe.sources.suspicious
    assert fields.shape == (count, size, size, 2)
    assert targets["suspicious"].tolist() == [[1.0]] * count
    assert weights["suspicious"].tolist() == [0.0] * count
    assert weights["nodule"].tolist() == [1.0] * count
    np.testing.assert_array_equal(fields, again)
    assert not np.array_equal(fields, other)


def test_a_dome_is_soft_tissue_that_fades_into_the_lung(recipe: LookConfig) -> None:
    lung = np.full((76, 76), -850.0, np.float32)
    domes = recipe.domes.model_copy(
        update={"radius_mm": (10.0, 10.0), "ratio": (1.0, 1.0), "fade_mm": (6.0, 6.0), "tissue_hu": (50.0, 50.0),
                "offset_mm": (0.0, 0.0)}
    )  # fmt: skip
    drawn = with_dome(lung, 1.0, domes, np.random.default_rng(1))
    from_middle = drawn[37, 37:]
    assert from_middle[0] > 40
    assert abs(from_middle[10] + 400) < 80
    assert from_middle[17] < -800
    assert (np.diff(from_middle) <= 0).all()
