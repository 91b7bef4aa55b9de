"""The template process and the cells forked from it: `python -m app.cell.process DESCRIPTOR MEMORY_BYTES CORE ...`.

A template has loaded and run the decoders once, and reads nothing that a stranger has sent. It imports no runtime of
models and no web framework, and has one thread, as what forks must. On its connection it is told `fork`, with the
connection of the new cell, and `end` with the process id of one.
"""

from __future__ import annotations

import codecs
import gc
import os
import signal
import socket
import sys
import warnings
import zipfile
from contextlib import suppress
from io import BytesIO
from typing import Final

import cv2
import imagecodecs
import numpy as np

from app.cell.confinement import confine
from app.cell.work import serve
from app.errors import InputError
from app.imaging.codecs import DECODERS, FrameShape, decode_frame
from app.imaging.grey_picture import read_grey
from app.imaging.picture_parts import PictureKind
from app.imaging.quiet import quiet_image_libraries

MAX_MESSAGE_BYTES: Final = 64
CONNECTION: Final = 3  # the one descriptor of a cell beyond the standard three
MANY: Final = 1024
STOPPED: Final = 0  # the id of no cell: none could be forked
SIDE_PX: Final = 64


def main() -> None:
    """Prepare, then fork and end cells until the connection ends."""
    descriptor, memory_bytes, *cores = map(int, sys.argv[1:])
    control = socket.socket(fileno=descriptor)
    os.sched_setaffinity(0, cores)  # the thread that started this may be kept to one
    # Whoever ends the service ends its connections: a signal to its whole group, from a terminal or a manager of
    # services, would end decoders in the middle. A session of its own would be given a share of the cores of its own.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(each, signal.SIG_IGN)
    _run_decoders_once()
    gc.collect()
    gc.freeze()
    with suppress(ConnectionError):  # whoever started it was killed meanwhile
        _fork_and_end(control, memory_bytes)


def _fork_and_end(control: socket.socket, memory_bytes: int) -> None:
    control.send(b"ready")
    while True:
        message, descriptors, *_ = socket.recv_fds(control, MAX_MESSAGE_BYTES, 1)
        match message.split():
            case []:
                return
            case [b"fork"]:
                control.send(b"%d" % _fork(control, descriptors[0], memory_bytes))
                os.close(descriptors[0])
            case [b"end", pid]:
                control.send(b"%d" % _end(int(pid)))


def _fork(control: socket.socket, connection: int, memory_bytes: int) -> int:
    try:
        pid = os.fork()
    except OSError:
        return STOPPED
    if pid:
        return pid
    try:
        control.close()
        os.dup2(connection, CONNECTION)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in range(CONNECTION):
            os.dup2(null, standard)
        os.closerange(CONNECTION + 1, MANY)
        own = socket.socket(fileno=CONNECTION)  # asks what it is, which a cell may not
        confine(memory_bytes)
        serve(own)
    finally:
        os._exit(1 if sys.exc_info()[0] else 0)


def _end(pid: int) -> int:
    """Kill a cell and wait for it; its exit code, or minus the signal that had ended it before."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return 0


def _run_decoders_once() -> None:
    """Import and start what decoders import and start at their first picture: a cell can open no file for it."""
    warnings.simplefilter("ignore")  # to show one Python reads the line that it is about
    quiet_image_libraries()
    cv2.setNumThreads(1)
    values = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    kinds: tuple[tuple[PictureKind, str], ...] = (("png", ".png"), ("jpeg", ".jpg"), ("tiff", ".tiff"))
    for kind, suffix in kinds:
        encoded = cv2.imencode(suffix, values)[1].tobytes()
        for data in (encoded, encoded[: len(encoded) // 2]):
            with suppress(InputError):
                read_grey(data, kind, None)
    shape = FrameShape(SIDE_PX, SIDE_PX, 8)
    for encode in (imagecodecs.jpeg8_encode, imagecodecs.jpegls_encode, imagecodecs.jpeg2k_encode):
        encoded = bytes(encode(values))
        for syntax in DECODERS:
            with suppress(InputError):
                decode_frame(syntax, encoded, shape)
    imagecodecs.packbits_decode(b"\xff\0")  # of RLE
    # By name, as zipfile looks them up for the names of members.
    for encoding in ("ascii", "cp437", "latin-1", "utf-8", "utf-16"):
        codecs.lookup(encoding)
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("a", bytes(SIDE_PX))
    with zipfile.ZipFile(archive) as opened:
        opened.read("a")


if __name__ == "__main__":
    main()
