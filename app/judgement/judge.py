"""The judge: reads an image, diagnoses it, takes the times and counts the decision, in the same way for every
caller."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from pydicom.dataset import Dataset

from app.imaging.chunked import ChunkedFile
from app.imaging.content_digest import file_digest, written
from app.imaging.ct import CTSlice, PointPx, QualityNote, SliceSource
from app.imaging.decoder import IN_PROCESS, Decoder, files_of
from app.imaging.pixel_stack import SeriesLimits
from app.imaging.read import read_slice
from app.imaging.series import SeriesBuilder
from app.imaging.volume import CTVolume
from app.inference.bundle import Bundle
from app.inference.detector import Detector
from app.inference.diagnose import diagnose
from app.inference.prediction import Prediction
from app.inference.registry import ModelRegistry, Models
from app.inference.second_opinion import SecondOpinions, with_opinions
from app.inference.sections import SectionReader
from app.inference.sequence import NoduleSequence
from app.inference.series import Cancelled, Progress, diagnose_volume
from app.inference.suspicion import SecondLook
from app.inference.view import ViewCheck
from app.inference.vocabulary import Language
from app.judgement.guideline_case import guidance_on
from app.judgement.parameters import Parameters
from app.judgement.shadow import Shadow
from app.reports.report import Report, ResultOptions, shown_findings
from app.telemetry import Metrics


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """One image with its parameters, its prediction, the models that made it, and the milliseconds of each stage.

    `detector` and `second_look` are the models that searched; None where they were not asked, as about most rois.
    `sequence` is the one that gave second opinions, None where nobody asked for them.
    `input_digest` is that of the file, or of the files of the series; None unless the judge keeps digests. `view` is
    the model that asked whether there is a chest to be seen. `deidentified` results carry nothing of the patient;
    `results` are a site's other choices about them. `warnings` are about the service, not the image.
    """

    image: CTSlice | CTVolume
    parameters: Parameters
    prediction: Prediction
    bundle: Bundle
    detector: Detector | None
    second_look: SecondLook | None
    timing_ms: dict[str, float]
    deidentified: bool = False
    results: ResultOptions = field(default_factory=ResultOptions)
    input_digest: str | None = None
    view: ViewCheck | None = None
    sequence: NoduleSequence | None = None
    warnings: tuple[QualityNote, ...] = ()

    @property
    def sources(self) -> Sequence[SliceSource]:
        """Where its slices came from, in spatial order."""
        return self.image.sources if isinstance(self.image, CTVolume) else (self.image.source,)

    @property
    def shown_instances(self) -> set[str | None]:
        """SOP Instance UIDs of the slices that a report shows."""
        middle = self.sources[len(self.sources) // 2].sop_instance_uid
        shown = shown_findings(self.prediction, self.parameters.roi_px, self.results.show_from)
        return {finding.slice.sop_instance_uid for finding in shown if finding.slice is not None} or {middle}

    def report(self, headers: Sequence[Dataset], written: datetime, language: Language = "en") -> Report:
        """The report from which every format but JSON is written. `headers` are the data sets of `shown_instances`,
        none for a picture."""
        asked = {"detector": self.detector, "second_look": self.second_look}
        searched = {name: each.digest for name, each in asked.items() if each is not None}
        roi_px = self.parameters.roi_px
        return Report(
            self.prediction,
            self.image,
            headers,
            self.bundle,
            written,
            roi_px,
            searched,
            language,
            deidentified=self.deidentified,
            options=self.results,
            guidance=guidance_on(self.prediction, self.parameters) if self.parameters.guidelines else None,
        )


def as_it_is(judgement: Judgement) -> Judgement:
    """The judgement, of which nothing is noted."""
    return judgement


class Judge:
    """Judges slices and series with the models of `registry`, and counts times and decisions in `metrics`.

    `opinions` are those on a series' findings, for callers who ask for them. With `deidentify` no result names the
    patient, whoever asked for it and wherever it goes; `results` are a site's other choices about them. With
    `keep_digests` a judgement has the digest of what was sent. `decoder` decodes what is compressed. `noted` is told
    of each judgement, in the thread that made it, and gives it back, perhaps with warnings. What is judged is offered
    to the `shadow`, if there is one.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        metrics: Metrics,
        max_slices: int,
        opinions: SecondOpinions | None = None,
        *,
        deidentify: bool = False,
        results: ResultOptions | None = None,
        keep_digests: bool = False,
        decoder: Decoder = IN_PROCESS,
        noted: Callable[[Judgement], Judgement] = as_it_is,
        shadow: Shadow | None = None,
    ) -> None:
        self._noted, self.shadow = noted, shadow
        self.deidentify, self._results = deidentify, results or ResultOptions()
        self.registry = registry
        self.metrics = metrics
        self.opinions = opinions or SecondOpinions()
        self._limits = SeriesLimits(max_slices=max_slices)
        self._keep_digests = keep_digests
        self._decoder = decoder

    def read(self, data: bytes | memoryview, parameters: Parameters) -> CTSlice:
        """The image in a file, as it is judged; raises the errors of reading."""
        return read_slice(data, parameters.options, self._decoder)

    def slice(self, data: bytes | memoryview, parameters: Parameters, began: float | None = None) -> Judgement:
        """Judge the image in a file. `began` is the time at which the request began (`time.perf_counter`), if before
        this call.

        Raises the errors of reading, RoiOutsideImage, and ModelLoading.
        """
        models = self.registry.models()
        started = time.perf_counter()
        image = self.read(data, parameters)
        decode_ms = _since_ms(started)
        image = models.view.remarked(image)
        prediction = diagnose(image, parameters.roi_px, models.classifier, models.detector, models.second_look)
        timing = prediction.timing
        timing_ms = {"decode": decode_ms, "search": timing.search_ms, "infer": timing.infer_ms}
        timing_ms["total"] = _since_ms(began or started)
        self.metrics.slice_judged(prediction.decision, timing_ms)
        if self.shadow is not None:
            self.shadow.offer(models, prediction, partial(_slice_again, image, parameters.roi_px))
        digest = written(file_digest(data)) if self._keep_digests else None
        return self._judgement(image, parameters, prediction, models, timing_ms, digest)

    def builder(self, parameters: Parameters, *, keep_headers: bool = False) -> SeriesBuilder:
        """A builder that takes the files of one series to be judged."""
        return SeriesBuilder(
            self._limits,
            parameters.options,
            keep_headers=keep_headers,
            keep_digests=self._keep_digests,
            decoder=self._decoder,
        )

    def series(
        self,
        volume: CTVolume,
        parameters: Parameters,
        decode_ms: float,
        progress: Progress,
        cancelled: Callable[[], bool],
        began: float,
        input_digest: str | None = None,
    ) -> Judgement:
        """Judge a volume that took `decode_ms` to read, from files with this digest; `began` is the time at which the
        request began (`time.perf_counter`).

        Raises Cancelled, ModelLoading, and SecondOpinionOff where `parameters` ask for what is not here.
        """
        sequence = self.opinions.require() if parameters.second_opinion else None
        models = self.registry.models()
        volume = models.view.remarked_volume(volume)
        prediction = diagnose_volume(
            volume, models.classifier, models.detector, models.second_look, progress, cancelled
        )
        stages_ms = dict(prediction.timing.stages_ms)
        if sequence is not None:
            started = time.perf_counter()
            prediction = with_opinions(prediction, volume, sequence)
            stages_ms["opinion"] = _since_ms(started)
        timing_ms = {"decode": decode_ms, **stages_ms, "total": _since_ms(began)}
        self.metrics.series_judged(prediction.decision, len(volume.sources), timing_ms)
        if self.shadow is not None:
            self.shadow.offer(models, prediction, partial(_series_again, volume))
        judgement = self._judgement(volume, parameters, prediction, models, timing_ms, input_digest)
        return judgement if sequence is None else replace(judgement, sequence=sequence)

    def reader(self, volume: CTVolume) -> SectionReader:
        """What measures nodules of a volume where somebody points; raises ModelLoading."""
        models = self.registry.models()
        return SectionReader(volume, models.classifier, models.detector, models.second_look)

    def files(
        self,
        paths: Sequence[Path],
        parameters: Parameters,
        progress: Progress,
        cancelled: Callable[[], bool],
        name: Callable[[Path], str] | None = None,
    ) -> Judgement:
        """Judge the series in some files; read and decode each, and drop it before the next.

        Errors call a file by its `name`; without one, only by its place in the order, because names may hold patient
        data. Raises the errors of a series that cannot be judged, OSError, Cancelled and ModelLoading.
        """

        def go_on() -> None:
            if cancelled():
                raise Cancelled

        began = time.perf_counter()
        builder = self.builder(parameters)
        for done, path in enumerate(paths, start=1):
            for data in files_of(ChunkedFile.at(path), self._decoder):
                go_on()
                builder.add(data, None if name is None else name(path), go_on)
            progress("read", done, len(paths))
        volume = builder.build()
        decode_ms = _since_ms(began)
        return self.series(volume, parameters, decode_ms, progress, cancelled, began, builder.input_digest)

    def _judgement(
        self,
        image: CTSlice | CTVolume,
        parameters: Parameters,
        prediction: Prediction,
        models: Models,
        timing_ms: dict[str, float],
        input_digest: str | None,
    ) -> Judgement:
        searched = parameters.roi_px is None or any(f.suspicion_score is not None for f in prediction.findings)
        judgement = Judgement(
            image,
            parameters,
            prediction,
            models.classifier.bundle,
            models.detector if searched else None,
            models.second_look if searched else None,
            timing_ms,
            self.deidentify,
            self._results,
            input_digest,
            models.view,
        )
        return self._noted(judgement)


def _slice_again(image: CTSlice, roi_px: PointPx | None, models: Models, _: Callable[[], bool]) -> Prediction:
    return diagnose(image, roi_px, models.classifier, models.detector, models.second_look)


def _series_again(volume: CTVolume, models: Models, cancelled: Callable[[], bool]) -> Prediction:
    return diagnose_volume(volume, models.classifier, models.detector, models.second_look, _tell_nobody, cancelled)


def _tell_nobody(_stage: str, _done: int, _of: int) -> None:
    pass


def _since_ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
