"""What a cell and the service say to each other: fields as JSON, then bytes. Nothing of it is ever code."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from typing_extensions import Buffer

HEAD: Final = struct.Struct("<LQ")  # bytes of the fields, bytes of the payload
MAX_FIELDS_BYTES: Final = 16 * 1024  # an error's texts are the longest

Fields = Mapping[str, Any]


class Message(NamedTuple):
    """Fields and the bytes that go with them."""

    fields: Fields
    payload: bytearray


class Garbled(Exception):
    """What came is no message."""


def write(send: Callable[[Buffer], None], fields: Fields, payload: Buffer = b"") -> None:
    """Write a message by `send`, which sends all of what it is given. The payload is C-contiguous."""
    text = json.dumps(fields).encode()
    content = memoryview(payload).cast("B")
    send(HEAD.pack(len(text), len(content)) + text)
    if len(content):
        send(content)


def read(receive: Callable[[int], bytearray], max_payload_bytes: int) -> Message:
    """Read a message by `receive`, which gives as many bytes as it is asked for; raises Garbled for what is none, and
    for a payload of more bytes."""
    fields_bytes, payload_bytes = HEAD.unpack(receive(HEAD.size))
    if fields_bytes > MAX_FIELDS_BYTES or payload_bytes > max_payload_bytes:
        raise Garbled
    try:
        fields = json.loads(receive(fields_bytes))
    except ValueError:
        raise Garbled from None
    if not isinstance(fields, dict):
        raise Garbled
    return Message(fields, receive(payload_bytes))
