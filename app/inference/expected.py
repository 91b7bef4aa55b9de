"""Looks for a nodule at a place of a series where another scan of the patient shows one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from app.imaging.ct import PointPx
from app.imaging.volume import CTVolume
from app.imaging.volume_candidates import VolumeCandidate, find_volume_candidates
from app.imaging.volume_lungs import VolumeLungs, segment_volume
from app.inference.decision import is_dismissed
from app.inference.prediction import Finding
from app.inference.sections import SectionReader
from app.inference.series import second_scores

WITHIN_MM: Final = 6.0  # of the place: how far a nodule may lie from where the lungs alone say it is
AROUND_MM: Final = 25.0  # searched for blobs: what is larger holds the place itself


def nodule_at(reader: SectionReader, slice_position: float, centre_px: PointPx, diameter_mm: float) -> Finding | None:
    """What is measured at a place on which somebody points, (column, row) on a fractional slice; None where that is no
    nodule, or has no volume.

    The place itself is pointed at, and after it the middles of what the search's filter for blobs answers to no farther
    than WITHIN_MM from it, the nearest first: the first nodule is taken that reaches as near to it. `diameter_mm` is
    that of the nodule in the other scan. What the networks of the search would let pass does not matter here.
    """
    place = VolumeCandidate(slice_position, centre_px, diameter_mm, 0.0)
    read = (_read(reader, each) for each in _places(reader.volume, place))
    found = (finding for finding in read if finding is not None and _is_nodule(finding, reader))
    return next((finding for finding in found if _reaches(reader.volume, finding, place)), None)


def _places(volume: CTVolume, place: VolumeCandidate) -> Iterator[VolumeCandidate]:
    yield place
    yield from _blobs_near(volume, place)


def _read(reader: SectionReader, place: VolumeCandidate) -> Finding | None:
    filtered = float(reader.detector.score_volume(reader.volume, [place])[0])
    (score,) = second_scores(reader.volume, [(place, filtered)], reader.second_look)
    return reader.read(place, filtered, score)


def _is_nodule(finding: Finding, reader: SectionReader) -> bool:
    volume_mm3 = None if finding.size is None else finding.size.volume_mm3
    return volume_mm3 is not None and volume_mm3.value > 0 and not is_dismissed(finding, reader.model)


def _reaches(volume: CTVolume, finding: Finding, place: VolumeCandidate) -> bool:
    """Whether it comes near the place: from where a large nodule is pointed at, another one may be followed."""
    if finding.slice is None or finding.size is None:
        return False
    at = replace(place, slice_position=float(finding.slice.index), centre_px=finding.center_px)
    return _apart_mm(volume, at, place) <= WITHIN_MM + finding.size.mean_mm.value / 2


def _blobs_near(volume: CTVolume, place: VolumeCandidate) -> list[VolumeCandidate]:
    """Candidates near a place, the nearest first."""
    reach = math.ceil(AROUND_MM / volume.spacing_mm[0])
    first = max(0, place.slice_index - reach)
    part = _part(volume, slice(first, place.slice_index + reach + 1))
    found = [
        replace(blob, slice_position=blob.slice_position + first)
        for blob in find_volume_candidates(part, _lungs_around(part, place.centre_px))
    ]
    near = [(_apart_mm(volume, blob, place), n) for n, blob in enumerate(found)]
    return [found[n] for apart_mm, n in sorted(near) if apart_mm <= WITHIN_MM]


def _part(volume: CTVolume, kept: slice) -> CTVolume:
    return replace(volume, hu=volume.hu[kept], positions_mm=volume.positions_mm[kept], sources=volume.sources[kept])


def _lungs_around(part: CTVolume, centre_px: PointPx) -> VolumeLungs:
    """The lungs of a few slices, no farther than AROUND_MM from a (column, row) place along each axis."""
    lungs = segment_volume(part)
    box = np.zeros(lungs.work_shape, np.bool_)
    axes = zip(centre_px[::-1], part.hu.shape[1:], lungs.work_shape, part.spacing_mm[1:], strict=True)
    # Pixels of the scan to the larger ones of the masks.
    limits = [((at - AROUND_MM / mm) * m / n, (at + AROUND_MM / mm) * m / n + 1) for at, n, m, mm in axes]
    rows, columns = (slice(max(0, round(low)), max(0, round(high))) for low, high in limits)
    box[rows, columns] = True
    masks = [lungs.work_mask(k) & box for k in range(len(lungs))]
    areas_cm2 = np.where([mask.any() for mask in masks], lungs.areas_cm2, 0.0)
    return replace(lungs, packed=np.stack([np.packbits(mask) for mask in masks]), areas_cm2=areas_cm2)


def _apart_mm(volume: CTVolume, one: VolumeCandidate, other: VolumeCandidate) -> float:
    steps = (one.slice_position - other.slice_position, *np.subtract(one.centre_px, other.centre_px)[::-1])
    return math.hypot(*np.multiply(steps, volume.spacing_mm).tolist())
