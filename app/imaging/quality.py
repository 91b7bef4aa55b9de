"""Whether a slice, or a place on it, is fit to be judged. Every check returns its reasons.

A note of severity `error` means that the model may not judge; its code is then a reason of the rejection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.imaging.aeration import patient_sides
from app.imaging.ct import CTSlice, FloatImage, PointPx, QualityNote
from app.imaging.lung_survey import LungSurvey
from app.imaging.lungs import (
    AIRLIKE_HU,
    Mask,
    cut_length_mm,
    distance_to_lung_mm,
    is_surely_near_lung,
    lung_area_cm2,
    median,
    shrink,
)
from app.imaging.opacity import check_sides, check_volume_sides
from app.imaging.patches import Patch
from app.imaging.scale import check_scale, check_volume_scale
from app.imaging.volume import CTVolume
from app.imaging.volume_lungs import VolumeLungs

MAX_TILT_DEG: Final = 20.0  # beyond, a vessel is cut along its length and looks like nothing in training
MAX_THICKNESS_MM: Final = 5.0  # thicker slices dilute a 6 mm nodule with lung
MIN_LUNG_CM2: Final = 2.5  # an apex with 3 cm² in the whole scan shows a little less by itself, head and abdomen none
MAX_CUT_MM: Final = 20.0  # lung along the edge of the view; what lies beyond may hold a nodule
BARRING_CUT_MM: Final = 60.0  # a mass of the largest size looked for may lie beyond
MAX_END_CM2: Final = 10.0  # lung on the outermost slice of a scan; a recess or an apex ends within a few slices of it
MIN_HU_SPAN: Final = 300.0  # lung against soft tissue spans twice as much
SAMPLE_ROWS: Final = 32  # between the rows looked at first: a body with the air around it spans enough on these
MIN_WHOLE_BODY_MM: Final = 220.0  # a whole chest is wider; reconstructions of one lung are narrower
MAX_LUNG_DISTANCE_MM: Final = 20.0  # the middle of a large mass on the pleura
CORE_RADIUS_MM: Final = 2.0  # the middle of the smallest nodule of interest
AIR_MEDIAN_HU: Final = -940.0  # emphysema begins near -950; no nodule is thinner than lung
BONE_MEDIAN_HU: Final = 200.0  # denser than enhanced vessels; bone and calcium
MAX_ABOVE_BLOOD_HU: Final = 60.0  # a vessel differs by less from the great vessels; noise and mixing with them
BONE_NEIGHBOUR_LUNG: Final = 0.35  # a calcified nodule is surrounded by lung, a rib by muscle
FILLED_RADIUS_MM: Final = 12.0  # half of LARGE_MM: what fills this is a mass
SOFT_HU: Final = -200.0  # fat lies above, a solid nodule's soft border below
MIN_FILLED: Final = 0.85
MIN_PATCH_LUNG: Final = 0.03  # fraction of a patch; less is chest wall, mediastinum or another organ
LUNG_HU: Final = (-980.0, AIRLIKE_HU)  # free air lies below
MAX_OUTSIDE: Final = 0.1  # fraction of a patch beyond the image's edge


def check_slice(ct_slice: CTSlice) -> tuple[QualityNote, ...]:
    """What was assumed in reading, then geometry, range of values and their scale.

    A view narrower than a chest may show lung alone, or a nodule: there is nothing to hold the scale against.
    """
    notes = list(ct_slice.notes)
    orientation = ct_slice.orientation
    if orientation is not None and orientation.tilt_deg > MAX_TILT_DEG:
        message = f"The slice is tilted {orientation.tilt_deg:.0f}° from axial; at most {MAX_TILT_DEG:g}° is judged."
        notes.append(QualityNote("not_axial", "error", message))
    notes.extend(check_thickness(ct_slice))
    # A sample that spans enough spares the rest.
    if _span_hu(ct_slice.hu[::SAMPLE_ROWS]) < MIN_HU_SPAN and (span := _span_hu(ct_slice.hu)) < MIN_HU_SPAN:
        message = f"Values span {span:.0f} HU; a CT slice of the chest spans more than {MIN_HU_SPAN:g}."
        notes.append(QualityNote("no_contrast", "error", message))
    if shows_whole_body(ct_slice):
        notes.extend(check_scale(ct_slice))
    return tuple(notes)


def check_thickness(ct_slice: CTSlice) -> tuple[QualityNote, ...]:
    """Whether small nodules can be seen."""
    thickness = ct_slice.thickness_mm
    if thickness is None or thickness <= MAX_THICKNESS_MM:
        return ()
    message = f"Slice thickness is {thickness:g} mm; above {MAX_THICKNESS_MM:g} mm small nodules fade."
    return (QualityNote("thick_slice", "warning", message),)


def check_volume(volume: CTVolume) -> tuple[QualityNote, ...]:
    """What was assumed in reading a series, and the scale of its values."""
    return (*volume.notes, *check_volume_scale(volume))


def shows_whole_body(ct_slice: CTSlice) -> bool:
    """Whether the view is as wide as a chest."""
    return _width_mm(ct_slice) >= MIN_WHOLE_BODY_MM


def check_lungs(ct_slice: CTSlice, lungs: Mask, shrunken: FloatImage | None = None) -> tuple[QualityNote, ...]:
    """Whether there is lung to search, all of it is in view and aerated. `shrunken`: see `cut_length_mm`."""
    small = shrink(ct_slice.hu, ct_slice.spacing_mm) if shrunken is None else shrunken
    notes = _check_area_and_view(ct_slice, lungs, small)
    return notes if any(note.severity == "error" for note in notes) else (*notes, *_check_sides(ct_slice, lungs, small))


def _check_area_and_view(ct_slice: CTSlice, lungs: Mask, shrunken: FloatImage) -> tuple[QualityNote, ...]:
    area = lung_area_cm2(lungs, ct_slice)
    if area < MIN_LUNG_CM2:
        return (_no_lung(area),)
    cut_mm = cut_length_mm(lungs, ct_slice, shrunken)
    return (_cut_in_plane(cut_mm),) if cut_mm > MAX_CUT_MM else ()


def _check_sides(ct_slice: CTSlice, lungs: Mask, shrunken: FloatImage) -> tuple[QualityNote, ...]:
    rows, columns = shrunken.shape
    mask = cv2.resize(lungs.view(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST).view(np.bool_)
    return check_sides(*patient_sides(shrunken, mask, ct_slice.hu.shape, ct_slice.orientation))


def check_volume_lungs(lungs: VolumeLungs) -> tuple[QualityNote, ...]:
    """As `check_lungs` for a series, and whether it begins below the lungs and ends above them."""
    if lungs.areas_cm2.max() < MIN_LUNG_CM2:
        return (_no_lung(float(lungs.areas_cm2.max())),)
    notes = [_cut_in_plane(float(lungs.cut_mm.max()))] if lungs.cut_mm.max() > MAX_CUT_MM else []
    below, above = float(lungs.areas_cm2[0]), float(lungs.areas_cm2[-1])
    if max(below, above) > MAX_END_CM2:
        message = f"The scan does not hold the whole lungs: {below:.0f} cm² of them are on its lowest slice and "
        message += f"{above:.0f} cm² on its highest; at most {MAX_END_CM2:g} cm² are where lungs end."
        notes.append(QualityNote("lungs_not_whole", "warning", message, bars_normal=True))
    return (*notes, *check_volume_sides(lungs.sides))


def _no_lung(area_cm2: float) -> QualityNote:
    message = f"{area_cm2:.1f} cm² of lung were found; at least {MIN_LUNG_CM2:g} cm² are needed."
    return QualityNote("no_lung", "error", message)


def _cut_in_plane(cut_mm: float) -> QualityNote:
    message = f"The edge of the view cuts the lungs along {cut_mm:.0f} mm; what lies beyond is not judged."
    return QualityNote("partial_lung", "warning", message, bars_normal=cut_mm > BARRING_CUT_MM)


def check_view(ct_slice: CTSlice, survey: LungSurvey) -> tuple[QualityNote, ...]:
    """Whether there is lung and all of it in view, for a roi that somebody chose: nothing but that is judged, so what
    lies elsewhere bars nothing. A narrow view of one lung has no outline of the body to find lungs by, so it is
    remarked and left to the roi's own checks."""
    width_mm = _width_mm(ct_slice)
    if width_mm >= MIN_WHOLE_BODY_MM:
        # Closed lungs are as large at least, and are made only where these leave a doubt.
        if survey.is_whole and lung_area_cm2(survey.unclosed, ct_slice) >= MIN_LUNG_CM2:
            return ()
        notes = _check_area_and_view(ct_slice, survey.mask, survey.hu)
        return tuple(replace(note, bars_normal=False) for note in notes)
    message = f"The image is {width_mm:.0f} mm wide, too narrow to find the lungs in; they were not looked for."
    return (QualityNote("narrow_view", "warning", message),)


def check_roi_place(ct_slice: CTSlice, survey: LungSurvey, roi_px: PointPx) -> tuple[QualityNote, ...]:
    """Whether the roi is on or near the lungs, where the view is wide enough to find them."""
    if not survey.lungs or _width_mm(ct_slice) < MIN_WHOLE_BODY_MM:
        return ()
    # As in `check_view`: what is near lung is near closed lung too.
    if is_surely_near_lung(survey.unclosed, ct_slice, roi_px, MAX_LUNG_DISTANCE_MM):
        return ()
    distance = distance_to_lung_mm(survey.mask, ct_slice, roi_px)
    if distance <= MAX_LUNG_DISTANCE_MM:
        return ()
    return (QualityNote("roi_outside_lung", "error", f"The roi is {distance:.0f} mm from the nearest lung."),)


def is_soft(patch: Patch) -> bool:
    """Whether the middle of a patch is tissue, ground glass included."""
    spec = patch.transform.spec
    return median(patch.hu[_disc(spec.size_px, CORE_RADIUS_MM / spec.spacing_mm)]) > AIRLIKE_HU


def is_filled(patch: Patch) -> bool:
    """Whether soft tissue fills the middle of a patch, as a mass does."""
    spec = patch.transform.spec
    middle = patch.hu[_disc(spec.size_px, FILLED_RADIUS_MM / spec.spacing_mm)]
    return bool(np.count_nonzero(middle > SOFT_HU) >= MIN_FILLED * middle.size)


def is_like_blood(notes: Sequence[QualityNote]) -> bool:
    """Whether `check_roi` found the middle as dense as blood with contrast."""
    return any(note.code == "roi_like_blood" for note in notes)


def check_roi(patch: Patch, blood_hu: Callable[[], Sequence[float]] = tuple) -> tuple[QualityNote, ...]:
    """Whether the middle of a patch can be a nodule at all: not air, not bone, lung nearby, inside the image.

    `blood_hu` gives the densities of blood around it that contrast enhances (`blood_pools_hu`); it is asked only where
    the middle is as dense as bone. Without it no contrast is known of.
    """
    spec = patch.transform.spec
    core = median(patch.hu[_disc(spec.size_px, CORE_RADIUS_MM / spec.spacing_mm)])
    lung = np.count_nonzero((patch.hu > LUNG_HU[0]) & (patch.hu < LUNG_HU[1])) / patch.hu.size
    notes = []
    if patch.outside > MAX_OUTSIDE:
        message = f"{patch.outside:.0%} of the region around the roi lie beyond the image's edge."
        notes.append(QualityNote("roi_near_edge", "warning", message))
    if core < AIR_MEDIAN_HU:
        notes.append(QualityNote("roi_in_air", "error", f"The roi is in air ({core:.0f} HU), not on a nodule."))
    elif core > BONE_MEDIAN_HU and _lung_around(patch) < BONE_NEIGHBOUR_LUNG:
        notes.append(_dense(core, blood_hu()))
    elif lung < MIN_PATCH_LUNG:
        notes.append(QualityNote("roi_outside_lung", "error", f"{lung:.0%} of the region around the roi are lung."))
    return tuple(notes)


def _dense(core: float, blood_hu: Sequence[float]) -> QualityNote:
    """What is said of a middle as dense as bone that no lung surrounds."""
    if not blood_hu:
        message = f"The roi is on bone or calcium ({core:.0f} HU), not on a nodule."
        return QualityNote("roi_on_bone", "error", message)
    blood = f"the blood in the large vessels has {' and '.join(f'{hu:.0f}' for hu in blood_hu)} HU"
    if core > max(blood_hu) + MAX_ABOVE_BLOOD_HU:
        message = f"The roi is on bone or calcium ({core:.0f} HU; {blood}), not on a nodule."
        return QualityNote("roi_on_bone", "error", message)
    message = f"The roi ({core:.0f} HU) is no denser than blood with contrast ({blood}): it may be a vessel."
    return QualityNote("roi_like_blood", "warning", message)


def _span_hu(hu: FloatImage) -> float:
    return float(hu.max()) - float(hu.min())


def _width_mm(ct_slice: CTSlice) -> float:
    rows_mm, columns_mm = ct_slice.spacing_mm
    rows, columns = ct_slice.hu.shape
    return float(min(rows * rows_mm, columns * columns_mm))


@cache
def _disc(size: int, radius: float) -> NDArray[np.bool_]:
    along = np.arange(size) - (size - 1) / 2
    return np.asarray(np.hypot(along[:, None], along) <= max(radius, 1.0))


def _lung_around(patch: Patch) -> float:
    """Fraction of lung in a 3 mm rim around the dense component nearest to the patch's middle."""
    spec = patch.transform.spec
    dense = (patch.hu > BONE_MEDIAN_HU / 2).astype(np.uint8)
    _, labels = cv2.connectedComponents(dense, connectivity=8)
    middle = labels[_disc(spec.size_px, CORE_RADIUS_MM / spec.spacing_mm)]
    component = (labels == np.bincount(middle[middle > 0], minlength=1).argmax()).astype(np.uint8)
    reach = 2 * max(1, round(3 / spec.spacing_mm)) + 1
    rim = cv2.dilate(component, np.ones((reach, reach), np.uint8)).astype(bool) & (component == 0)
    return float(np.mean(patch.hu[rim] < AIRLIKE_HU)) if rim.any() else 0.0
