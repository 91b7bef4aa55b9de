"""Bodies of several DICOM parts: byte for byte what arrives, and what ends too early."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.api.dicomweb.multipart_related import RelatedReader
from app.errors import MalformedForm
from tests.api.dicomweb.test_dicomweb import RELATED, B, related


class Parts:
    """Keeps the parts of a body."""

    def __init__(self) -> None:
        self.complete: list[bytes] = []
        self._open = b""

    def begin(self) -> None:
        self._open = b""

    def write(self, data: bytes | memoryview) -> None:
        self._open += data

    def end(self) -> None:
        self.complete.append(self._open)


LINE_ENDS: Final = st.sampled_from([b"\r", b"\n", b"\r\n", b"--", b"\r\n--", f"\r\n--{B[:-1]}".encode()])
PIECES: Final = st.lists(st.one_of(st.binary(max_size=40), LINE_ENDS), max_size=12).map(b"".join)


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=4), st.integers(1, 64))
@example([b"pixels\r\n", b"pixels\r", b"pixels\n\r\n"], 3)
def test_every_part_arrives_byte_for_byte(parts: list[bytes], step: int) -> None:
    body, sink = related(parts), Parts()
    reader = RelatedReader(RELATED, sink)
    for at in range(0, len(body), step):
        reader.feed(body[at : at + step])
    reader.finish()
    assert sink.complete == parts


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PIECES, min_size=1, max_size=3), st.data())
def test_what_ends_early_is_malformed(parts: list[bytes], data: st.DataObject) -> None:
    body = related(parts)
    # The final boundary is complete with its second hyphen.
    cut = data.draw(st.integers(0, len(body) - len("-\r\n") - 1))
    reader = RelatedReader(RELATED, Parts())
    with pytest.raises(MalformedForm):  # noqa: PT012  # either may notice
        reader.feed(body[:cut])
        reader.finish()
