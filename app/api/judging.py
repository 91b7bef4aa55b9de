"""A spooled series to its result objects: what is done for a caller of /v1/studies, for one that did not wait."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset

from app.api.renderings import result_objects
from app.delivery.store import ObjectKind, ResultObject
from app.errors import FrameRequired
from app.imaging.archive import files_of
from app.imaging.chunked import ChunkedFile
from app.imaging.ct import CTSlice
from app.imaging.header import Header, read_header
from app.imaging.read import read_slice
from app.imaging.series import SeriesBuilder, SeriesLimits
from app.imaging.volume import CTVolume
from app.inference.diagnose import diagnose
from app.inference.prediction import Prediction
from app.inference.registry import ModelRegistry
from app.inference.series import Cancelled, diagnose_volume
from app.reports.report import Report
from app.telemetry import Metrics


@dataclass(frozen=True, slots=True)
class SeriesJudge:
    """Judges the files of one series; each is read, decoded and dropped before the next."""

    registry: ModelRegistry
    metrics: Metrics
    max_slices: int

    def __call__(
        self, paths: Sequence[Path], arrived: datetime, cancelled: Callable[[], bool], wanted: Collection[ObjectKind]
    ) -> list[ResultObject]:
        """Results of the kinds `wanted`; they bear the time at which the series had `arrived`, so that a second attempt
        writes the same. A series of one slice is judged as that. Raises the errors of a series that is unfit, and
        Cancelled."""
        model, detector = self.registry.model(), self.registry.detector()
        image = _only_slice(paths) or self._volume(paths, cancelled)
        if isinstance(image, CTSlice):
            prediction = diagnose(image, None, model, detector)
        else:
            prediction = diagnose_volume(image, model, detector, lambda _stage, _done, _of: None, cancelled)
        self.metrics.decisions(prediction.decision).inc()
        headers = _headers(paths, shown_instances(prediction, image))
        report = Report(prediction, image, headers, model.bundle, arrived, detector_digest=detector.digest)
        return result_objects(report, wanted, self.metrics)

    def _volume(self, paths: Sequence[Path], cancelled: Callable[[], bool]) -> CTVolume:
        builder = SeriesBuilder(SeriesLimits(max_slices=self.max_slices))
        for path in paths:
            if cancelled():
                raise Cancelled
            for data in files_of(ChunkedFile.at(path)):
                builder.add(data)
        return builder.build()


def shown_instances(prediction: Prediction, image: CTSlice | CTVolume) -> set[str | None]:
    """The instances that `Report.slices` refers to."""
    sources = image.sources if isinstance(image, CTVolume) else (image.source,)
    middle = sources[len(sources) // 2].sop_instance_uid
    return {f.slice.sop_instance_uid for f in prediction.findings if f.slice is not None} or {middle}


def _only_slice(paths: Sequence[Path]) -> CTSlice | None:
    """What a series of one single-frame file holds; None for any other."""
    if len(paths) > 1:
        return None
    try:
        return read_slice(paths[0].read_bytes())
    except FrameRequired:
        return None


def _headers(paths: Sequence[Path], uids: set[str | None]) -> list[Dataset]:
    found: list[Dataset] = []
    for path in paths:
        with path.open("rb") as stream:
            header = read_header(stream)
        if Header(header).text("SOPInstanceUID") in uids:
            found.append(header)
    return found
