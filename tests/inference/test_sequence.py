"""How a nodule's slices become what the recurrent network takes. Serving and training share it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.errors import BundleError
from app.inference.backends import Outputs
from app.inference.bundle import MANIFEST_FILE
from app.inference.sequence import (
    CHANNELS,
    HU,
    INSIDE,
    STEP_MM,
    MaskedSlice,
    NoduleSequence,
    drawn_in,
    evenly,
    stack_of,
)
from tests.inference.arithmetic_sequence import (
    CONTRACT,
    ArithmeticSequence,
    arithmetic_sequence,
    disc_slice,
    write_sequence,
)


def circle(radius_px: float, centre: tuple[float, float] = (30.2, 20.7)) -> NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    return np.stack([centre[0] + radius_px * np.cos(angles), centre[1] + radius_px * np.sin(angles)], axis=1)


def test_a_stack_holds_hu_outline_and_distance_and_nothing_from_outside() -> None:
    slices = [disc_slice(16, height, 40) for height in (5.0, 0.0, 2.0)]
    stack = stack_of(slices, CONTRACT)
    assert stack.shape == (4, 16, 16, CHANNELS)
    assert stack[:, 8, 8, STEP_MM].tolist() == [0, 2, 3, 0], "in spatial order, the first and missing slices at 0"
    inside = stack[:3, ..., INSIDE] > 0
    assert stack[:3, ..., INSIDE].sum(axis=(1, 2)) * 4 == pytest.approx(math.pi * 8**2, rel=0.1)
    np.testing.assert_allclose(stack[:3, ..., HU][inside], 40, atol=1e-3)  # no lung bleeds in
    assert not stack[:3, ..., HU][~inside].any()
    assert not stack[3].any()


@given(shift=st.tuples(st.integers(-12, 12), st.integers(-12, 12)), around=st.integers(-1000, 3000))
def test_neither_the_place_on_the_slice_nor_what_lies_around_matters(shift: tuple[int, int], around: int) -> None:
    there = disc_slice(15, 0, 40)
    hu = np.where(there.inside, there.hu, np.float32(around))
    moved = MaskedSlice(np.roll(hu, shift, (0, 1)), np.roll(there.inside, shift, (0, 1)), there.spacing_mm, 0)
    for one, other in zip(there.patch(CONTRACT.patch_spec), moved.patch(CONTRACT.patch_spec), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("spacing_mm", [0.5, 0.7, 1.0, 1.5])
def test_the_size_in_mm_does_not_depend_on_the_pixels(spacing_mm: float) -> None:
    seen = disc_slice(20 / spacing_mm, 0, 40, spacing_mm).patch(CONTRACT.patch_spec)[1]
    assert 2 * math.sqrt(seen.sum() * CONTRACT.spacing_mm**2 / math.pi) == pytest.approx(20, abs=1)


def test_the_smallest_nodule_is_seen() -> None:
    tiny = disc_slice(1.5, 0, 40, 0.5)
    hu, inside = tiny.patch(CONTRACT.patch_spec)
    assert inside.sum() >= 1
    assert hu[inside > 0] == pytest.approx(40, abs=1e-3)


@given(radius_px=st.floats(0.8, 40), inset_px=st.floats(0, 1))
def test_an_outline_is_drawn_in_by_as_much_as_is_asked(radius_px: float, inset_px: float) -> None:
    drawn = drawn_in(circle(radius_px), inset_px)
    expected = max(radius_px - inset_px, 0.5)
    assert (drawn.max(axis=0) - drawn.min(axis=0)) / 2 == pytest.approx(expected, rel=0.02, abs=0.02)
    assert drawn.mean(axis=0) == pytest.approx((30.2, 20.7), abs=0.05)


def test_an_outline_becomes_the_pixels_it_encloses() -> None:
    hu = np.zeros((64, 64), np.float32)
    whole, smaller = (MaskedSlice.outlined(hu, circle(8), (0.7, 0.7), 3.0, inset) for inset in (0.0, 0.5))
    assert whole.area_mm2 == pytest.approx(math.pi * 8**2 * 0.49, rel=0.05)
    assert smaller.area_mm2 == pytest.approx(math.pi * 7.5**2 * 0.49, rel=0.05)
    assert whole.extent_mm == pytest.approx(16 * 0.7, abs=0.8)
    with pytest.raises(ValueError, match="a nodule of 0 pixels"):
        MaskedSlice(hu, np.zeros((64, 64), np.bool_), (0.7, 0.7), 0.0)


@given(count=st.integers(1, 60), most=st.integers(2, 16))
def test_too_many_slices_are_evenly_chosen(count: int, most: int) -> None:
    chosen = evenly(count, most)
    assert len(chosen) == min(count, most)
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    assert np.ptp(np.diff(chosen)) <= 1 if len(chosen) > 2 else True


def test_a_network_that_does_not_repeat_its_golden_case_is_refused(tmp_path: Path) -> None:
    class Other(ArithmeticSequence):
        def answer(self, hu: NDArray[np.float32]) -> Outputs:
            return {name: value + np.float32(0.01) for name, value in super().answer(hu).items()}

    path = write_sequence(tmp_path)
    with pytest.raises(BundleError, match="golden case"):
        NoduleSequence.verified(path, Other()).load()
    written = (path / MANIFEST_FILE).read_text("utf-8")
    (path / MANIFEST_FILE).write_text(written.replace('"size_px": 16', '"size_px": 18'), "utf-8")
    with pytest.raises(BundleError, match="the golden input is"):
        NoduleSequence.verified(path, ArithmeticSequence())


def test_a_probability_is_of_all_slices(tmp_path: Path) -> None:
    network = arithmetic_sequence(tmp_path)
    alike = [disc_slice(16, height, 400) for height in (0.0, 2.0)]
    assert network.probability(alike) == pytest.approx(0.7, abs=1e-3)
    assert network.probability([alike[0], disc_slice(16, 2, -400)]) == pytest.approx(0.5, abs=1e-3)
