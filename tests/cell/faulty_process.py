"""The template of cells whose decoder of pictures does what the end of a picture says: `python -m` of a cell's own."""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.cell import process, work
from app.cell.messages import Message
from app.errors import MalformedPicture

DECODE = work.WORK["picture"]
RUNTIMES = ("tensorflow", "openvino", "fastapi", "starlette", "uvicorn", "pydantic")


def spin() -> None:
    while True:
        pass


def hog() -> None:
    held = []
    while True:
        held.append(bytearray(1 << 24))


def overflow() -> None:
    def deeper() -> None:
        deeper()

    deeper()


def say(text: str) -> None:
    raise MalformedPicture(found=text, expected="-", remedy="-")


def attempts() -> dict[str, Callable[[], Any]]:
    """What a decoder that was taken over would do."""
    return {
        "read": lambda: Path("/etc/hostname").read_bytes(),
        "write": lambda: Path("/tmp/from-a-cell").write_bytes(b""),
        "connect": lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
        "listen": lambda: socket.socket().bind(("127.0.0.1", 0)),
        "fork": os.fork,
        "exec": lambda: os.execv(sys.executable, [sys.executable, "-V"]),
        "signal": lambda: os.kill(os.getppid(), 0),
        "unlimit": lambda: resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
        "duplicate": lambda: os.dup(0),
    }


def succeeded() -> str:
    done = []
    for name, attempt in attempts().items():
        try:
            attempt()
            done.append(name)
        except (OSError, ValueError):
            pass
    return f"done: {done}"


FAULTS: dict[bytes, Callable[[], Any]] = {
    b"abort": os.abort,
    b"spin": spin,
    b"hog": hog,
    b"raise": overflow,
    b"attempt": lambda: say(succeeded()),
    b"modules": lambda: say(f"loaded: {[name for name in RUNTIMES if name in sys.modules]}"),
    b"environment": lambda: say(f"names: {sorted(os.environ)}"),
}


def picture(asked: Message, receive: Any, answer: Any) -> None:
    for end, fault in FAULTS.items():
        if asked.payload.endswith(end):
            fault()
    if asked.payload.endswith(b"garble"):
        answer({"dtype": "|O", "shape": [2], "pages": 1, "page": 1}, bytes(16))
    elif asked.payload.endswith(b"swell"):
        answer({"dtype": "|u1", "shape": [1 << 13, 1 << 13], "pages": 1, "page": 1}, bytes(1 << 26))
    elif asked.payload.endswith(b"lie"):
        answer({"error": "SettingsError", "found": "x", "expected": "x", "remedy": "x"})
    else:
        DECODE(asked, receive, answer)


if __name__ == "__main__":
    work.WORK["picture"] = picture
    process.main()
