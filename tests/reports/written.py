"""Reports that several tests read, each written once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame

from app.inference.bundle import Bundle
from app.inference.vocabulary import Decision
from app.reports.dicom import to_bytes, write_results
from app.reports.report import Report
from tests.reports.cases import draw_report


def picture_of(capture: Dataset) -> NDArray[np.uint8]:
    """The pixels of a picture in JPEG-LS, uint8 (rows, columns, 3)."""
    return np.asarray(imagecodecs.jpegls_decode(get_frame(capture.PixelData, 0, number_of_frames=1)))


Make = Callable[[Decision, Bundle], Report]


@dataclass(frozen=True)
class Files:
    """A report and the files it became."""

    report: Report
    files: tuple[bytes, ...]

    def by_class(self) -> tuple[Report, dict[str, list[Dataset]]]:
        """The report, and the objects read back, by the first word of their SOP class."""
        objects: dict[str, list[Dataset]] = {}
        for data in self.files:
            instance = pydicom.dcmread(BytesIO(data))
            objects.setdefault(instance.SOPClassUID.name.split()[0], []).append(instance)
        return self.report, objects


class Written:
    """What `make` and a decision give."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._known: dict[tuple[Make, Decision], Files] = {}

    def __call__(self, make: Make, decision: Decision) -> Files:
        if (make, decision) not in self._known:
            report = make(decision, self._bundle)
            files = tuple(to_bytes(instance) for instance in write_results(report, draw_report))
            self._known[make, decision] = Files(report, files)
        return self._known[make, decision]
