"""The plain loop behind a socket and nothing else: a process per core that takes a connection when it is free, reads a
request, judges, answers and hangs up. The tail at a fixed rate is here the machine's own.

`python -m benchmarks.serving.bare PORT PROCESSES LOOP`, LOOP as JSON.
"""

from __future__ import annotations

import multiprocessing
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from benchmarks.serving.ceiling import Loop, judge_of
from benchmarks.serving.trivial import content_length

PIECE_BYTES: Final = 1 << 20
END: Final = b"\r\n\r\n"


def serve(listening: socket.socket, loop: Loop) -> None:
    """Until ended; those that wait are taken in turn by whichever process is free."""
    judge = judge_of(loop)
    while True:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            answer(connection, judge)


def answer(connection: socket.socket, judge: Callable[[bytes], float]) -> None:
    """Read one request and answer it; nothing, when the client leaves before its end."""
    received = b""
    while END not in received:
        if not (piece := connection.recv(PIECE_BYTES)):
            return
        received += piece
    head, _, begun = received.partition(END)
    body = bytearray(content_length(head))
    body[: len(begun)] = begun
    rest = memoryview(body)[len(begun) :]
    while rest:
        if not (count := connection.recv_into(rest)):
            return
        rest = rest[count:]
    found = b'{"malignancy":%a}' % judge(bytes(body))
    connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(found), found))


def main() -> None:
    """All processes on one port."""
    port, processes, loop = int(sys.argv[1]), int(sys.argv[2]), Loop.parse(sys.argv[3])
    with socket.create_server(("127.0.0.1", port), backlog=1024) as listening:
        for _ in range(processes - 1):
            multiprocessing.Process(target=serve, args=(listening, loop), daemon=True).start()
        serve(listening, loop)


if __name__ == "__main__":
    main()
