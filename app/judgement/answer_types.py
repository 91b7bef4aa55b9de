"""The types of an answer in JSON; `app.judgement.answers` writes it.

The answers are typed dictionaries, which mypy checks. Pydantic models of the same values would take a thirtieth of a
slice's whole time to build.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes this one only before Python 3.12

from app.imaging.ct import PointMm, PointPx
from app.inference.conformal import Finding as Label
from app.inference.prediction import OpinionReason
from app.inference.vocabulary import Decision, Suspicion
from app.judgement.guideline_answers import GuidelinesOut
from app.judgement.size_answers import LocationOut, LungsOut, SizeOut
from app.text.answers import AgreementOut, ReportOut

DISCLAIMER: Final = "Research use only. Not a medical device."


class TraitOut(TypedDict):
    """A rating on its LIDC scale and the word for it."""

    value: float
    scale: tuple[int, int]
    display: str


class EvidenceOut(TypedDict):
    """Class-activation map of malignancy, rows of numbers from 0 to 1, and the rectangle it covers."""

    shape: tuple[int, int]
    rectangle_px: Annotated[
        tuple[float, float, float, float], Field(description="left, top, right, bottom; pixel borders included")
    ]
    values: list[list[float]]


class SliceOut(TypedDict):
    """One slice of a series."""

    index: Annotated[int, Field(ge=0, description="0-based, in spatial order along the slice normal")]
    sop_instance_uid: str | None


class ModelRef(TypedDict):
    """The model that judged."""

    name: str
    version: str
    digest: str


class SecondOpinionOut(TypedDict):
    """What the recurrent network over the slices says of a finding. It has no part in the decision."""

    probability: Annotated[
        float | None, Field(ge=0, le=1, description="calibrated; null where `reason` says why there is none")
    ]
    slices: Annotated[int, Field(ge=0, description="on which the finding has an outline")]
    reason: Annotated[
        OpinionReason | None,
        Field(
            description="`too_few_slices`: an outline on fewer than two; `too_large`: more than the network sees; "
            "`not_judged`: nor has the classifier judged it"
        ),
    ]
    model: ModelRef


class FindingOut(TypedDict):
    """One nodule. In a series, pixels are those of `slice`, on which it is largest."""

    id: int
    center_px: Annotated[PointPx, Field(description="column, row of the sent image")]
    center_mm: Annotated[PointMm | None, Field(description="DICOM patient coordinates; null when unknown")]
    nodule_probability: Annotated[float, Field(description="that it is a nodule at all, by the model that judges it")]
    detector_score: NotRequired[
        Annotated[float, Field(description="logit of the detector; only where nobody gave a roi")]
    ]
    suspicion_score: NotRequired[
        Annotated[float, Field(description="of the second look; what a slice or series is decided by")]
    ]
    suspicion: NotRequired[
        Annotated[
            Suspicion,
            Field(description="what it counts for: `low` findings are shown and do not count in the decision"),
        ]
    ]
    probability: Annotated[float | None, Field(description="calibrated; null when not judged")]
    diameter_mm: Annotated[
        float | None, Field(description="of the circle with the outline's area, rim included: larger than in `size`")
    ]
    size: Annotated[SizeOut | None, Field(description="null without outline")]
    location: LocationOut
    traits: dict[str, TraitOut]
    outline_px: list[PointPx]
    evidence: NotRequired[Annotated[EvidenceOut, Field(description="only with explain=true")]]
    slice: NotRequired[Annotated[SliceOut, Field(description="of a series: where it is largest")]]
    slices: NotRequired[Annotated[list[SliceOut], Field(description="of a series: all on which it shows")]]
    second_opinion: NotRequired[
        Annotated[SecondOpinionOut, Field(description="of a series: only with second_opinion=true")]
    ]


class QualityOut(TypedDict):
    """A remark about the image or the request."""

    code: str
    severity: Literal["info", "warning", "error"]
    message: str


class ScanOut(TypedDict):
    """The highest score that was listed, and where decisions on scores change."""

    score: Annotated[float | None, Field(description="null where nothing was listed")]
    listed_from: float
    open_from: Annotated[float, Field(description="from here a finding leaves the decision open")]
    suspected_from: Annotated[float, Field(description="from here cancer is suspected")]


class KeySliceOut(SliceOut):
    """A slice to look at."""

    findings: Annotated[list[int], Field(description="ids of those that are largest on it")]


class SeriesOut(TypedDict):
    """The series that the client sent."""

    series_instance_uid: str | None
    study_instance_uid: str | None
    slices: int
    slice_spacing_mm: float


class SourceOut(TypedDict):
    """The image that the client sent."""

    kind: Literal["dicom", "png", "jpeg", "tiff", "array"]
    rows: int
    columns: int
    frame: int | None
    pixel_spacing_mm: Annotated[tuple[float, float], Field(description="between rows, between columns")]
    series: NotRequired[SeriesOut]


class ComparedReportOut(ReportOut):
    """What a report that came with a series states, beside the findings."""

    tagger: Annotated[ModelRef | None, Field(description="what labelled the sentences; null where rules alone read")]
    agreement: list[AgreementOut]


class ReceiptOut(TypedDict):
    """A signed statement of what was judged, by what, with what result: `lungscope receipt verify` runs it again."""

    version: int
    key: Annotated[str, Field(description="name of the key: the first 16 digits of the sha256 of its public half")]
    request_id: str
    time: str
    input: Annotated[str, Field(description="BLAKE3 of the file, or of the sorted digests of the files of a series")]
    parameters: dict[str, str]
    models: Annotated[dict[str, str], Field(description="digests by name/version")]
    code: dict[str, str]
    settings: dict[str, str]
    runtime: dict[str, str]
    result: Annotated[str, Field(description="sha256 of the answer without its id, times, receipt and report")]
    signature: Annotated[str, Field(description="Ed25519, base64, of the canonical JSON of all else")]


class Answer(TypedDict):
    """The judgement of one slice or one series."""

    request_id: str
    decision: Decision
    display: str
    probability: Annotated[
        float | None,
        Field(ge=0, le=1, description="of the finding on which the decision rests; null where it rests on none"),
    ]
    operating_point: Annotated[
        float, Field(description="of `probability`, the one in force: the bundle's, unless the site set its own")
    ]
    prediction_set: list[Label]
    findings: list[FindingOut]
    reasons: Annotated[list[str], Field(description="stable codes: why it was rejected or left open")]
    quality: list[QualityOut]
    scan: NotRequired[Annotated[ScanOut, Field(description="where the decision rests on a score of the second look")]]
    key_slices: NotRequired[
        Annotated[
            list[KeySliceOut],
            Field(description="of a series: the slices to look at, the most suspicious finding's first"),
        ]
    ]
    report: NotRequired[
        Annotated[ComparedReportOut, Field(description="of a series: only where a report came with it")]
    ]
    lungs: NotRequired[Annotated[LungsOut, Field(description="of a series in which lungs were found")]]
    warnings: NotRequired[
        Annotated[
            list[QualityOut], Field(description="about the service: only where it was told to warn, and has reason to")
        ]
    ]
    guidelines: NotRequired[Annotated[GuidelinesOut, Field(description="only where guidelines were asked for")]]
    model: ModelRef
    detector: NotRequired[Annotated[ModelRef, Field(description="what searched, where nobody gave a roi")]]
    second_look: NotRequired[Annotated[ModelRef, Field(description="what scored the findings of the search")]]
    source: SourceOut
    timing_ms: dict[str, float]
    disclaimer: str
    receipt: NotRequired[Annotated[ReceiptOut, Field(description="where the operator has set a key")]]
