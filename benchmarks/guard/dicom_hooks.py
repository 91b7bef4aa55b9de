"""What schemathesis has to be told of DICOM: instances to begin with, and how they are sent by STOW-RS (PS3.18 10.5).

schemathesis loads this file in an environment of its own, which has nothing of this project.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any  # schemathesis is not installed where types are checked

import schemathesis
from hypothesis import strategies as st

BOUNDARY = "instances"
RELATED = 'multipart/related; type="application/dicom"'
WHOLE = (Path(__file__).resolve().parents[2] / "app/web/example-slice.dcm").read_bytes()


@st.composite
def instances(draw: Any) -> bytes:
    """The example slice, whole, or with bytes of its header changed or its end cut off; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(WHOLE)
    for at, value in draw(st.lists(st.tuples(st.integers(0, 2500), st.integers(0, 255)), max_size=3)):
        data[at] = value
    return bytes(data[: draw(st.sampled_from((len(data), len(data), 2000, 140)))])


def _sent(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def _related(_context: Any, value: Any) -> bytes:
    part = b"--%b\r\nContent-Type: application/dicom\r\n\r\n%b\r\n" % (BOUNDARY.encode(), _sent(None, value))
    return part + b"--%b--\r\n" % BOUNDARY.encode()


schemathesis.openapi.media_type("application/dicom", instances())
schemathesis.openapi.media_type(RELATED, instances())
schemathesis.serializer("application/dicom")(_sent)
schemathesis.serializer(RELATED, "multipart/related")(_related)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Name the boundary, which the document cannot."""
    if (case.media_type or "").startswith("multipart/related"):
        case.headers["Content-Type"] = f"{RELATED}; boundary={BOUNDARY}"
