"""The part of an answer that the image, the models and the parameters decide, as bytes that two runs share.

The id of the request, the times and warnings about the service differ from run to run; the receipt is about the rest; a
report that came beside a series was read, not judged, and what guidelines say rests on what the client knows of the
patient: no receipt holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import to_json

OF_THE_REQUEST: Final = ("request_id", "timing_ms", "receipt", "report", "guidelines", "warnings")


def result_bytes(answer: Mapping[str, Any]) -> bytes:
    """The result within an answer, as JSON text in UTF-8; names in the order of the answer, floats as the shortest text
    that reads back the same."""
    return to_json(result_of(answer), inf_nan_mode="null")


def result_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an answer that are the result."""
    return {name: value for name, value in answer.items() if name not in OF_THE_REQUEST}


def with_members(result: bytes, members: Mapping[str, Any]) -> bytes:
    """The answer in JSON from the bytes of its result and its other members, without writing the result again."""
    others = to_json(members, inf_nan_mode="null")
    return b"".join((others[:-1], b",", result[1:]))
