"""A DICOMweb archive from which series are fetched: which there are by QIDO-RS (PS3.18 10.6), and their instances by
WADO-RS (PS3.18 10.4)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from app.delivery.destinations.http_client import Access, HttpClient

Dataset: TypeAlias = dict[str, Any]  # as DICOM JSON has it: an attribute by its tag (PS3.18 F.2)
UID: Final = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*")  # all that keeps a path what it is (PS3.5 9.1)
SERIES_UID: Final = "0020000E"
MODALITY: Final = "00080060"
CT: Final = "CT"
DICOM_JSON: Final = "application/dicom+json"
INSTANCES: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
MAX_QUERY_BYTES: Final = 4 << 20  # of the series of a study, a page of studies, the attributes of a report
CHUNK_BYTES: Final = 256 << 10
PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
# Codes of what cannot be fetched.
UNREACHABLE, FAILING, REFUSES = "source_unreachable", "source_failing", "source_refuses"
MALFORMED, TOO_MUCH, NOT_THERE = "source_malformed", "source_sends_too_much", "not_at_source"


class NotFetched(Exception):
    """A series cannot be had; `code` says why, and `passing` whether it may be had later."""

    def __init__(self, code: str, *, passing: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.passing = passing


@dataclass(frozen=True, slots=True)
class SourceBounds:
    """The most bytes of one series, and the seconds that one answer may take to its end."""

    max_bytes: int
    max_s: float


class DicomwebSource:
    """One archive, whose address the operator has set. No redirect is followed."""

    def __init__(self, access: Access, bounds: SourceBounds, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = HttpClient(access)
        self._bounds = bounds
        self._clock = clock

    def ct_series(self, study_uid: str) -> list[str]:
        """The UIDs of the CT series of a study; raises NotFetched."""
        listed = self.search(f"/studies/{segment(study_uid)}/series?Modality={CT}")
        # Some archives do not match by modality, and say so by none of them.
        found = [value_in(each, SERIES_UID) for each in listed if value_in(each, MODALITY) in (CT, None)]
        if not found:
            raise NotFetched(NOT_THERE)
        if None in found:
            raise NotFetched(MALFORMED)
        return [uid for uid in found if uid is not None]

    def search(self, path: str) -> list[Dataset]:
        """The data sets at a path below the archive's root, as DICOM JSON; raises NotFetched."""
        with self._answer(path, DICOM_JSON) as answer:
            body = b"".join(self._chunks(answer, MAX_QUERY_BYTES))
        return _datasets(body) if body else []

    @contextmanager
    def series(self, study_uid: str, series_uid: str) -> Iterator[tuple[str, Iterator[bytes]]]:
        """The Content-Type of a series' instances, and their bytes as they come; both raise NotFetched."""
        path = f"/studies/{segment(study_uid)}/series/{segment(series_uid)}"
        with self._answer(path, INSTANCES) as answer:
            if answer.status == HTTPStatus.NO_CONTENT:
                raise NotFetched(NOT_THERE)
            yield answer.headers.get("Content-Type", ""), self._chunks(answer, self._bounds.max_bytes)

    @contextmanager
    def _answer(self, path: str, accept: str) -> Iterator[BaseHTTPResponse]:
        try:
            answer = self._client.get(path, {"Accept": accept})
        except HTTPError:
            raise NotFetched(UNREACHABLE, passing=True) from None
        try:
            _require_success(answer.status)
            yield answer
        finally:
            answer.close()  # what is left of it would be taken for the next answer

    def _chunks(self, answer: BaseHTTPResponse, most_bytes: int) -> Iterator[bytes]:
        """The bytes of an answer as they come: each piece is what there is, so that a slow sender is noticed."""
        deadline, left = self._clock() + self._bounds.max_s, most_bytes
        try:
            while chunk := answer.read1(CHUNK_BYTES, decode_content=False):
                left -= len(chunk)
                if left < 0:
                    raise NotFetched(TOO_MUCH)
                if self._clock() > deadline:
                    raise NotFetched(FAILING, passing=True)
                yield chunk
        except HTTPError:
            raise NotFetched(UNREACHABLE, passing=True) from None


def _require_success(status: int) -> None:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if status == HTTPStatus.NOT_FOUND:
        raise NotFetched(NOT_THERE)
    passing = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in PASSING
    raise NotFetched(FAILING if passing else REFUSES, passing=passing)


def _datasets(body: bytes) -> list[Dataset]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise NotFetched(MALFORMED) from None
    if not (isinstance(found, list) and all(isinstance(each, dict) for each in found)):
        raise NotFetched(MALFORMED)
    return found


def values_in(dataset: Dataset, tag: str) -> list[Any]:
    """The values, or items, of an attribute; raises NotFetched for what is no DICOM JSON."""
    attribute = dataset.get(tag, {}) if isinstance(dataset, dict) else None
    values = attribute.get("Value", []) if isinstance(attribute, dict) else None
    if not isinstance(values, list):
        raise NotFetched(MALFORMED)
    return values


def value_in(dataset: Dataset, tag: str) -> str | None:
    """The first value of an attribute as text; None where there is none. Raises NotFetched."""
    first = next(iter(values_in(dataset, tag)), None)
    return None if first in (None, "") else str(first)


def segment(uid: str) -> str:
    """A UID as a segment of a path; raises NotFetched for what is none, such as `..`, which would ask for all else."""
    if not UID.fullmatch(uid):
        raise NotFetched(MALFORMED)
    return quote(uid, safe="")
