"""A report beside the findings of the series that it came with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.imaging.volume import CTVolume
from app.imaging.volume_lungs import VolumeLungs, segment_volume
from app.inference.prediction import Finding
from app.judgement.answer_types import ComparedReportOut, ModelRef
from app.judgement.judge import Judgement
from app.text.agreement import Place, compare
from app.text.answers import agreement_out, report_out
from app.text.reader import ReportReader
from app.text.statements import Side

MIDDLE_MM: Final = 15.0  # on each side of the middle between the lungs: no side is told there
MIN_WIDTH_MM: Final = 180.0  # of both lungs of a small adult; one alone is narrower
CUT: Final = "partial_lung"  # the remark on lungs that the scan does not hold whole


@dataclass(frozen=True, slots=True)
class LungFrame:
    """Where the lungs of a volume lie: the patient's x in mm of the middle between them, and the slices at their lower
    and their upper end. None where the scan does not tell."""

    middle_x_mm: float | None
    ends: tuple[int, int] | None

    def place(self, finding: Finding) -> Place:
        """A finding by its side and its height within the lungs."""
        return Place(finding.id, finding.diameter_mm, self._side(finding), self._height(finding))

    def _side(self, finding: Finding) -> Side | None:
        if self.middle_x_mm is None or finding.center_mm is None:
            return None
        # The patient's x grows towards the left (PS3.3 C.7.6.2.1.1).
        leftwards_mm = finding.center_mm[0] - self.middle_x_mm
        if abs(leftwards_mm) < MIDDLE_MM:
            return None
        return "left" if leftwards_mm > 0 else "right"

    def _height(self, finding: Finding) -> float | None:
        if self.ends is None or finding.slice is None:
            return None
        low, high = self.ends
        return float(np.clip((finding.slice.index - low) / (high - low), 0, 1))


def lung_frame(volume: CTVolume, lungs: VolumeLungs, *, whole: bool) -> LungFrame:
    """The frame of a volume's lungs; without ends unless the scan holds them `whole`."""
    slices = np.flatnonzero(lungs.areas_cm2)
    if len(slices) < 2:
        return LungFrame(None, None)
    # An axial slice's index grows along the normal, which need not point to the head.
    first, last = int(slices[0]), int(slices[-1])
    ends = (first, last) if volume.orientation.normal[2] > 0 else (last, first)
    return LungFrame(_middle_x_mm(volume, lungs, slices.tolist()), ends if whole else None)


def beside(judgement: Judgement, text: str, reader: ReportReader) -> ComparedReportOut:
    """What a report states, and where it and the findings of a series agree.

    The lungs are found a second time: nothing else of a judgement needs them.
    """
    volume = judgement.image
    if not isinstance(volume, CTVolume):
        raise TypeError("a report is compared with a series")
    reading = reader.read(text)
    whole = CUT not in {note.code for note in judgement.prediction.quality}
    frame = lung_frame(volume, segment_volume(volume), whole=whole)
    places = [frame.place(finding) for finding in judgement.prediction.findings]
    tagger = reading.tagger
    return ComparedReportOut(
        **report_out(text, reading),
        tagger=None
        if tagger is None
        else ModelRef(name=tagger.manifest.name, version=str(tagger.manifest.version), digest=tagger.digest),
        agreement=[agreement_out(each) for each in compare(reading.mentions, places)],
    )


def _middle_x_mm(volume: CTVolume, lungs: VolumeLungs, slices: list[int]) -> float | None:
    """The patient's x halfway between the outermost columns of the lungs; None when one lung alone is seen."""
    columns = np.any([lungs.work_mask(n).any(axis=0) for n in slices], axis=0)
    seen = np.flatnonzero(columns)
    scale = volume.hu.shape[2] / lungs.work_shape[1]
    middle_slice, middle_row = len(volume) // 2, volume.hu.shape[1] / 2
    edges = [volume.to_patient_mm(middle_slice, (column * scale, middle_row))[0] for column in (seen[0], seen[-1] + 1)]
    return None if abs(edges[1] - edges[0]) < MIN_WIDTH_MM else float(np.mean(edges))
