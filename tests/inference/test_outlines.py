"""Outlines of whatever mask a network answers with: they enclose the component in the middle, or there is none."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.imaging.patches import PatchSpec, PatchTransform
from app.inference.detector import Detector
from app.inference.diagnose import diagnose
from app.inference.model import Model
from app.inference.patch_outputs import MASK_THRESHOLD, find_outline
from app.inference.series import diagnose_volume
from app.inference.suspicion import SecondLook
from tests.fakes import SIZE_PX, SPACING_MM
from tests.inference.masks import AT, JUST_ABOVE, Mask, Masked, in_turn, masks, one_pixel
from tests.inference.slices import chest
from tests.inference.volumes import chest_volume

TRANSFORM = PatchTransform(PatchSpec(SIZE_PX, SPACING_MM), (100.0, 80.0), (0.7, 0.7))
NODULE = {(75, 120): (12.0, 100.0)}


@given(masks())
@settings(derandomize=True, deadline=None, max_examples=400)
def test_an_outline_encloses_an_area_or_there_is_none(mask: Mask) -> None:
    outline = find_outline(mask, TRANSFORM)
    if not (mask > MASK_THRESHOLD).any():
        assert outline is None
    if outline is not None:
        assert np.isfinite(outline.points_px).all()
        assert cv2.contourArea(outline.points_px.astype(np.float32)) > 0
        assert outline.area_mm2 > 0


@given(st.integers(1, 5).flatmap(masks))
@settings(derandomize=True, deadline=None, max_examples=200)
def test_nor_does_a_patch_of_few_pixels_matter(mask: Mask) -> None:
    outline = find_outline(mask, replace(TRANSFORM, spec=PatchSpec(len(mask), SPACING_MM)))
    assert (outline is not None) == bool((mask > MASK_THRESHOLD).any())


@pytest.mark.parametrize("level", [JUST_ABOVE, 0.6, 1.0])
def test_the_outline_of_one_pixel_lies_within_its_square_and_around_its_centre(level: float) -> None:
    outline = find_outline(one_pixel(level), TRANSFORM)
    assert outline is not None
    # Patch and source have the same spacing: the pixel's centre lies half a pixel from the patch's.
    offsets = outline.points_px - (100.5, 80.5)
    assert np.abs(offsets).max() <= 0.5
    assert (offsets.min(axis=0) < 0).all()
    assert (offsets.max(axis=0) > 0).all()
    assert outline.area_mm2 == pytest.approx(SPACING_MM**2)


def test_what_is_at_the_threshold_is_not_inside() -> None:
    assert find_outline(one_pixel(AT), TRANSFORM) is None


@pytest.fixture
def masked(model: Model) -> tuple[Model, Masked]:
    """The arithmetic model, whose mask the test chooses."""
    backend = Masked()
    return replace(model, backend=backend), backend


@pytest.mark.parametrize("mask", in_turn())
def test_a_slice_is_judged_whatever_the_mask(
    masked: tuple[Model, Masked], detector: Detector, second_look: SecondLook, mask: Mask
) -> None:
    model, backend = masked
    backend.mask = mask
    ct_slice = chest(NODULE)
    for roi_px in (None, (75.0, 120.0)):
        (finding,) = diagnose(ct_slice, roi_px, model, detector, second_look).findings
        assert finding.probability is not None
        assert (finding.diameter_mm is None) == (len(finding.outline_px) == 0)


@pytest.mark.parametrize("mask", in_turn())
def test_a_series_is_judged_whatever_the_mask(
    masked: tuple[Model, Masked], detector: Detector, second_look: SecondLook, mask: Mask
) -> None:
    model, backend = masked
    backend.mask = mask
    volume = chest_volume({(75.0, 120.0, 3.0): (12.0, 100.0)}, slices=6)
    prediction = diagnose_volume(volume, model, detector, second_look, lambda _stage, _done, _of: None, lambda: False)
    assert prediction.findings
    for finding in prediction.findings:
        assert finding.probability is not None
        assert (finding.diameter_mm is None) == (len(finding.outline_px) == 0)
