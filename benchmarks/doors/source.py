"""The archive from which series are fetched: as much of QIDO-RS and WADO-RS as that needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from benchmarks.doors.moods import Answer, Request
from benchmarks.doors.series import Series
from benchmarks.fuzz.bodies import related

ROOT: Final = "/root/studies/"
JSON: Final = "application/dicom+json"


class Source:
    """Has all series."""

    def __init__(self, every: Sequence[Series]) -> None:
        self._studies = {each.study_uid: each for each in every}

    def answer(self, request: Request) -> Answer:
        """The series of a study, or the instances of one."""
        study, _, rest = urlsplit(request.path).path.removeprefix(ROOT).partition("/series")
        series = self._studies.get(study)
        if series is None or rest.strip("/") not in ("", series.uid):
            return Answer(404)
        if rest.strip("/"):
            body = related(series.files)
            return Answer(200, body.written(), body.content_type())
        found = {"00080060": {"vr": "CS", "Value": ["CT"]}, "0020000E": {"vr": "UI", "Value": [series.uid]}}
        return Answer(200, json.dumps([found]).encode(), JSON)
