"""One prediction with everything that its renderings need beside it, and the identifiers they share."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final, Literal

from pydicom.dataset import Dataset

from app import __version__
from app.errors import NoDicomSource
from app.guidelines.guidance import Guidance
from app.imaging.ct import CTSlice, PointPx, QualityNote, SliceSource
from app.imaging.header import Header
from app.imaging.volume import CTVolume
from app.inference.bundle import Bundle
from app.inference.prediction import Finding, Prediction
from app.inference.vocabulary import Language, Suspicion
from app.reports.deidentified import without_patient
from app.reports.result import ReportReference
from app.reports.source import SourceHeader, remarks_on

Kind = Literal["sr", "key_images", "capture", "map", "segmentation"]
OfReport = Kind | Literal["fhir", "json", "hl7", "answer"]
MANUFACTURER: Final = "Lungscope"
DISCLAIMER: Final = "Research use only. Not a medical device."
MAX_PICTURES: Final = 5
REPLACES: Final = QualityNote("replaces_report", "warning", "This replaces an earlier report on the same series.")
UID_NAMESPACE: Final = uuid.UUID("5c1ff1a4-1f43-5d5e-9a0c-6f7b4a3c2d10")  # ours alone: the same name, the same UID


@dataclass(frozen=True, slots=True, eq=False)
class ReportedSlice:
    """A slice that a report shows: its 0-based index, its image and where it came from, its header, its findings."""

    index: int
    image: CTSlice
    header: SourceHeader
    findings: tuple[Finding, ...]

    @property
    def source(self) -> SliceSource:
        """Where it came from."""
        return self.image.source


@dataclass(frozen=True, slots=True)
class ResultOptions:
    """What a site chooses about its results: how many pictures there are at most, the FHIR systems (URIs) in which its
    patient and accession numbers are unique, whether bundles that are delivered have the case report as PDF, and the
    least score of a finding that leaves the decision open to be shown. Those that count as suspicious are always
    shown."""

    max_pictures: int = MAX_PICTURES
    patient_system: str | None = None
    accession_system: str | None = None
    fhir_pdf: bool = False
    show_from: float | None = None


@dataclass(frozen=True, eq=False)
class Report:
    """One prediction to be written.

    `image` is what was judged. `headers` are data sets of its source, pixels not needed, in any order: at least those
    of the slices that a report shows, none for a picture that was no DICOM. `written` says when, with its time zone.
    `roi_px` is what was pointed at, if anything; `searched` holds the digests of what searched, by its part in
    it; `language` is that of the pictures. `deidentified` results carry nothing of the patient.
    `predecessor` is the report on the same series that this one replaces, if there is one; with `lasting` the FHIR
    resources on a series are the same ones, however often it is judged and with however many slices.
    `guidance` is what guidelines say, where they were asked. Beside another series `chosen` are the findings shown,
    some of which no search has found, and `names` the tracking UIDs by id of those that keep one from it.
    """

    prediction: Prediction
    image: CTSlice | CTVolume
    headers: Sequence[Dataset]
    bundle: Bundle
    written: datetime
    roi_px: PointPx | None = None
    searched: Mapping[str, str] = field(default_factory=dict)
    language: Language = "en"
    deidentified: bool = False
    options: ResultOptions = ResultOptions()
    predecessor: ReportReference | None = None
    lasting: bool = False
    guidance: Guidance | None = None
    chosen: tuple[Finding, ...] | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.written.tzinfo is None:
            raise ValueError("a report is written at a time in a known time zone")

    @cached_property
    def source_headers(self) -> tuple[SourceHeader, ...]:
        """What is valid of each of `headers`, in their order; of a deidentified report without the patient."""
        valid = tuple(map(SourceHeader.of, self.headers))
        return tuple(map(without_patient, valid)) if self.deidentified else valid

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings that results show, the one that weighs most in the decision first (`shown_findings`)."""
        if self.chosen is not None:
            return self.chosen
        return shown_findings(self.prediction, self.roi_px, self.options.show_from)

    @property
    def notes(self) -> tuple[QualityNote, ...]:
        """The remarks about the image, and about its header; and that the report replaces one, if it does."""
        replaced = () if self.replaced is None else (REPLACES,)
        return (*replaced, *self.prediction.quality, *remarks_on(self.source_headers))

    @property
    def replaced(self) -> ReportReference | None:
        """The earlier report that this one replaces: the same one, written again, does not replace itself."""
        before = self.predecessor
        return None if before is None or before.uid == self.instance_uid("sr") else before

    @property
    def sources(self) -> tuple[SliceSource, ...]:
        """Where every judged slice came from, in spatial order."""
        return self.image.sources if isinstance(self.image, CTVolume) else (self.image.source,)

    @property
    def thickness_mm(self) -> float | None:
        """Of a slice; in a series the distance between two, which is what a result on it stands for."""
        return self.image.spacing_mm[0] if isinstance(self.image, CTVolume) else self.image.thickness_mm

    @property
    def model_line(self) -> str:
        """The model in one line: name, version, beginning of the digest."""
        manifest = self.bundle.manifest
        return f"{manifest.name} {manifest.version} · {self.bundle.digest[:19]}"

    @property
    def device_uid(self) -> str:
        """UID of software and model together: another one for every retrained model."""
        return derived_uid("device", __version__, self.bundle.digest, *self.searched.values())

    def slices(self) -> tuple[ReportedSlice, ...]:
        """The slices to which the findings shown belong, in spatial order; without such findings the middle one.

        Raises NoDicomSource when the header of one of them is missing.
        """
        return tuple(map(self._slice, self.shown_indices))

    @property
    def shown_indices(self) -> list[int]:
        """The 0-based indices of `slices`."""
        return sorted({self.index_of(finding) for finding in self.findings}) or [len(self.sources) // 2]

    @property
    def shown_instances(self) -> set[str | None]:
        """SOP Instance UIDs of `slices`."""
        return {self.sources[index].sop_instance_uid for index in self.shown_indices}

    def pictured(self) -> tuple[ReportedSlice, ...]:
        """Those of `slices` of which there is a picture: the first finding's first, and no more than the options
        allow."""
        shown = {on.index: on for on in self.slices()}
        first = dict.fromkeys(self.index_of(finding) for finding in self.findings) or shown
        return tuple(shown[index] for index in first)[: self.options.max_pictures]

    def image_at(self, index: int) -> CTSlice:
        """The slice with this 0-based index in spatial order."""
        return self.image.slice_at(index) if isinstance(self.image, CTVolume) else self.image

    def index_of(self, finding: Finding) -> int:
        """The 0-based index of the slice to which a finding belongs."""
        return 0 if finding.slice is None else finding.slice.index

    def instance_uid(self, kind: OfReport, *parts: object) -> str:
        """SOP Instance UID of one result: the same whenever the same question is put to the same model."""
        said = None if self.guidance is None or kind not in ("sr", "fhir") else self.guidance
        told = () if said is None else (repr(said.assessments if self.deidentified else said),)
        return derived_uid(kind, *self._question(), *parts, *told)

    def series_uid(self, kind: Kind) -> str:
        """Series Instance UID: results of one kind on one series by one model stand together."""
        return derived_uid("series", kind, self.sources[0].series_instance_uid, self.device_uid)

    def tracking_uid(self, finding: Finding) -> str:
        """What all objects call one finding."""
        return self.names.get(finding.id) or self.own_tracking_uid(finding)

    def own_tracking_uid(self, finding: Finding) -> str:
        """What the objects on this series alone call it."""
        return derived_uid("finding", *self._question(), finding.id)

    def resource_id(self, *parts: object) -> uuid.UUID:
        """Identifier of a FHIR resource about this prediction."""
        about = ("series", self.series_uid("sr")) if self.lasting else self._question()
        return uuid.uuid5(UID_NAMESPACE, _joined(("resource", *about, *parts)))

    def require_uids(self) -> None:
        """Raise NoDicomSource unless every slice has the UIDs by which DICOM objects refer to it."""
        if all(s.sop_instance_uid and s.series_instance_uid and s.study_instance_uid for s in self.sources):
            return
        raise NoDicomSource(
            found="a source without Study, Series or SOP Instance UID",
            expected="a DICOM image with all three, for the result to refer to",
            remedy="Send the image as DICOM, or ask for another format.",
        )

    def _slice(self, index: int) -> ReportedSlice:
        image = self.image_at(index)
        findings = tuple(f for f in self.findings if self.index_of(f) == index)
        for header, valid in zip(self.headers, self.source_headers, strict=True):
            if Header(header).text("SOPInstanceUID") == image.source.sop_instance_uid:
                return ReportedSlice(index, image, valid, findings)
        raise NoDicomSource(
            found="a judged slice without its DICOM header",
            expected="the header of every slice that the result refers to",
            remedy="Send the image as DICOM, or ask for another format.",
        )

    def _question(self) -> tuple[object, ...]:
        return self._asked

    @cached_property
    def _asked(self) -> tuple[object, ...]:
        """What the answer follows from: sources, models, operating point, software, and what was pointed at."""
        sources = hashlib.sha256(_joined((s.sop_instance_uid, s.frame) for s in self.sources).encode()).hexdigest()
        roi = None if self.roi_px is None else tuple(round(at, 3) for at in self.roi_px)
        return (sources, self.device_uid, self.prediction.operating_point, roi)


COUNTS: Final[dict[Suspicion, str]] = {
    "suspected": "Counts as suspicious in the decision",
    "open": "Leaves the decision open",
    "low": "Does not count in the decision",
}


def shown_findings(
    prediction: Prediction, roi_px: PointPx | None, show_from: float | None = None
) -> tuple[Finding, ...]:
    """What was pointed at; of a search what is suspicious, or leaves the decision open with a score of `show_from` or
    more. The others are in the JSON answer alone."""
    found = prediction.findings
    return found if roi_px is not None else tuple(each for each in found if _is_shown(each, show_from))


def _is_shown(finding: Finding, show_from: float | None) -> bool:
    if finding.suspicion != "open" or finding.suspicion_score is None or show_from is None:
        return finding.suspicion != "low"
    return finding.suspicion_score >= show_from


def standing(finding: Finding) -> str | None:
    """What a finding counts for in the decision for a whole slice or series; None where it has no score."""
    if finding.suspicion is None or finding.suspicion_score is None:
        return None
    return f"{COUNTS[finding.suspicion]} (score {finding.suspicion_score:.2f})."


def derived_uid(*parts: object) -> str:
    """A UID from a name-based UUID (PS3.5 B.2): the same parts, the same UID."""
    return f"2.25.{uuid.uuid5(UID_NAMESPACE, _joined(parts)).int}"


def _joined(parts: Iterable[object]) -> str:
    return "\n".join(map(str, parts))
