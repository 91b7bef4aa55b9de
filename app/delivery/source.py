"""A DICOMweb archive from which series are fetched: which there are by QIDO-RS (PS3.18 10.6), and their instances by
WADO-RS (PS3.18 10.4)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from app.delivery.destinations import Access, HttpClient

SERIES_UID: Final = "0020000E"
MODALITY: Final = "00080060"
CT: Final = "CT"
DICOM_JSON: Final = "application/dicom+json"
INSTANCES: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
MAX_QUERY_BYTES: Final = 4 << 20  # of the series of a study
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
        with self._answer(f"/studies/{_segment(study_uid)}/series?Modality={CT}", DICOM_JSON) as answer:
            body = b"".join(self._chunks(answer, MAX_QUERY_BYTES))
        found = _ct_series(body) if body else []
        if not found:
            raise NotFetched(NOT_THERE)
        return found

    @contextmanager
    def series(self, study_uid: str, series_uid: str) -> Iterator[tuple[str, Iterator[bytes]]]:
        """The Content-Type of a series' instances, and their bytes as they come; both raise NotFetched."""
        path = f"/studies/{_segment(study_uid)}/series/{_segment(series_uid)}"
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


def _ct_series(body: bytes) -> list[str]:
    """The series in an answer of DICOM JSON; some archives do not match by modality, and say so by none of them."""
    try:
        found: list[Any] = json.loads(body)
        return [str(each[SERIES_UID]["Value"][0]) for each in found if _first(each, MODALITY) in (CT, None)]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise NotFetched(MALFORMED) from None


def _first(dataset: dict[str, Any], tag: str) -> object:
    return (dataset.get(tag, {}).get("Value") or [None])[0]


def _segment(uid: str) -> str:
    return quote(uid, safe="")
