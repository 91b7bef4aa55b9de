"""Writes where a finding lies and how large it is: numbers, codes, and words in English and Chinese."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes this one only before Python 3.12

from app.imaging.ct import PointPx
from app.imaging.lung_frame import Laterality, Third
from app.inference.finding_words import ATTENUATION_WORDS, position_words
from app.inference.prediction import AttenuationClass, Finding, Measured, Prediction, Size
from app.inference.vocabulary import Language


class LocationOut(TypedDict):
    """Where in the lungs a finding lies."""

    side: Annotated[Laterality | None, Field(description="of the patient; null near the middle, or with one lung seen")]
    side_assumed: Annotated[
        bool, Field(description="true where the image states no orientation: its left is the patient's right")
    ]
    height: Annotated[
        float | None, Field(description="of a series with whole lungs: 0 at their lowest slice, 1 at their highest")
    ]
    third: Annotated[
        Third | None, Field(description="of that height: an estimate of the lobe, as fissures are not seen")
    ]
    display: str


class MeasuredOut(TypedDict):
    """A measurement and its interval, from the outline's own uncertainty."""

    value: float
    interval: tuple[float, float]


class AttenuationOut(TypedDict):
    """How dense a finding is."""

    code: Annotated[AttenuationClass, Field(description="calcified: most of it is above 200 HU")]
    display: str
    possible: Annotated[list[AttenuationClass], Field(description="every class that the rating allows")]
    median_hu: float
    calcified_share: Annotated[float, Field(description="above 200 HU, of its core")]
    solid_part_mm: Annotated[
        MeasuredOut | None,
        Field(description="mean diameter above -300 HU (-160, -400) of what may be part-solid; null otherwise"),
    ]


class SizeOut(TypedDict):
    """How large a finding is between its edges, inside the outline's rim, on the slice of its outline."""

    long_axis_mm: float
    short_axis_mm: float
    long_axis_px: Annotated[tuple[PointPx, PointPx], Field(description="its ends, column, row")]
    short_axis_px: tuple[PointPx, PointPx]
    mean_diameter_mm: MeasuredOut
    area_mm2: float
    volume_mm3: NotRequired[Annotated[MeasuredOut, Field(description="of a series: the sum over its slices")]]
    attenuation: AttenuationOut


class LungsOut(TypedDict):
    """The lungs of a series."""

    volume_ml: float
    below_950_hu_share: Annotated[float | None, Field(description="compare only between like kernels and thicknesses")]
    kernel: Annotated[str | None, Field(description="Convolution Kernel; null when unknown")]
    slice_thickness_mm: Annotated[float | None, Field(description="Slice Thickness; null when unknown")]


def location_out(finding: Finding, prediction: Prediction, language: Language) -> LocationOut:
    """Where a finding of a prediction lies."""
    location = finding.location
    return LocationOut(
        side=location.side,
        side_assumed=location.assumed,
        height=None if location.height is None else round(location.height, 3),
        third=location.third,
        display=position_words(finding, prediction, language),
    )


def size_out(size: Size, language: Language) -> SizeOut:
    """How large a finding is."""
    attenuation, axes = size.attenuation, size.axes
    written = SizeOut(
        long_axis_mm=round(axes.long_mm, 2),
        short_axis_mm=round(axes.short_mm, 2),
        long_axis_px=_rounded(axes.long_px),
        short_axis_px=_rounded(axes.short_px),
        mean_diameter_mm=_measured(size.mean_mm, 2),
        area_mm2=round(size.area_mm2, 1),
        attenuation=AttenuationOut(
            code=attenuation.classes[0],
            display=ATTENUATION_WORDS[attenuation.classes[0]][language],
            possible=list(attenuation.classes),
            median_hu=round(attenuation.median_hu, 1),
            calcified_share=round(attenuation.calcified_share, 3),
            solid_part_mm=None if attenuation.solid_mm is None else _measured(attenuation.solid_mm, 2),
        ),
    )
    if size.volume_mm3 is not None:
        written["volume_mm3"] = _measured(size.volume_mm3, 1)
    return written


def lungs_out(prediction: Prediction) -> LungsOut | None:
    """The lungs of a series; None where none were found."""
    series, facts = prediction.series, prediction.source.facts
    if series is None or series.lungs_ml is None:
        return None
    return LungsOut(
        volume_ml=round(series.lungs_ml, 1),
        below_950_hu_share=None if series.below_950_share is None else round(series.below_950_share, 4),
        kernel=facts.kernel,
        slice_thickness_mm=facts.thickness_mm,
    )


def _measured(measured: Measured, digits: int) -> MeasuredOut:
    return MeasuredOut(
        value=round(measured.value, digits), interval=(round(measured.low, digits), round(measured.high, digits))
    )


def _rounded(ends: tuple[PointPx, PointPx]) -> tuple[PointPx, PointPx]:
    (a, b), (c, d) = ends
    return (round(a, 2), round(b, 2)), (round(c, 2), round(d, 2))
