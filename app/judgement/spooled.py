"""Judges a spooled series and writes its result objects, as `/v1/studies` does for a client that waits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset

from app.errors import FrameRequired
from app.imaging.header import Header, read_header
from app.judgement.formats import result_objects
from app.judgement.judge import Judge, Judgement
from app.judgement.parameters import Parameters
from app.reports.result import ObjectKind, ResultObject


def _tell_nobody(_judgement: Judgement) -> None:
    pass


@dataclass(frozen=True, slots=True)
class SpooledJudge:
    """Judges the files of one spooled series."""

    judge: Judge
    judged: Callable[[Judgement], None] = _tell_nobody

    def __call__(
        self, paths: Sequence[Path], arrived: datetime, cancelled: Callable[[], bool], wanted: Collection[ObjectKind]
    ) -> list[ResultObject]:
        """The results of the kinds `wanted`. A series of one slice is judged as a slice.

        `judged` is told of the judgement. The results bear the time `arrived` at which the series came, so that a
        second attempt writes the same. Raises the errors of a series that cannot be judged, and Cancelled.
        """
        judgement = self._only_slice(paths) or self.judge.files(paths, Parameters(), _no_progress, cancelled)
        self.judged(judgement)
        report = judgement.report(headers_in(paths, judgement.shown_instances), arrived)
        return result_objects(report, wanted, self.judge.metrics)

    def _only_slice(self, paths: Sequence[Path]) -> Judgement | None:
        """The judgement of a series of one single-frame file; None for any other."""
        if len(paths) > 1:
            return None
        try:
            return self.judge.slice(paths[0].read_bytes(), Parameters())
        except FrameRequired:
            return None


def _no_progress(_stage: str, _done: int, _of: int) -> None:
    pass


def headers_in(paths: Sequence[Path], uids: set[str | None]) -> list[Dataset]:
    """The headers of the instances with these SOP Instance UIDs, among some files."""
    found: dict[str | None, Dataset] = {}
    for path in paths:
        if uids <= found.keys():
            break
        with path.open("rb") as stream:
            header = read_header(stream)
        if (uid := Header(header).text("SOPInstanceUID")) in uids:
            found[uid] = header
    return list(found.values())
