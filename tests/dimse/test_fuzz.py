"""Associations whose bytes were changed at random: the door outlives them, and keeps nothing half."""

from __future__ import annotations

import errno
import random
import socket
from pathlib import Path

import pytest
from pynetdicom.pdu import A_RELEASE_RQ

from benchmarks.serving.service import eventually
from tests.dimse.caller import PATIENCE_S, Caller, request_bytes, store_pdus
from tests.dimse.conftest import SLICE, UID_0, Site, opened

ROUNDS = 60
HEAD_BYTES = 900  # of request and command, where most is to be misunderstood


def changed(data: bytes, chance: random.Random) -> bytes:
    """With up to four bytes or pieces of it replaced, cut out, doubled, or inserted."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(min(len(made), chance.choice((HEAD_BYTES, len(made)))))
        piece = slice(at, at + chance.choice((1, 2, 4, 6, 300)))
        match chance.randrange(5):
            case 0:
                made[at] = chance.randrange(256)
            case 1:
                del made[piece]
            case 2:
                made[at:at] = made[piece]
            case 3:
                made[at:at] = chance.randbytes(chance.choice((1, 4, 50)))
            case _:
                made[piece] = b"\xff" * len(made[piece])
        made = made or bytearray(b"\0")
    return bytes(made[: chance.choice((len(made), len(made), chance.randrange(len(made))))])


def send_and_hear_out(peer: socket.socket, data: bytes) -> None:
    """Send all and read to the end, or until the door ends the connection. TimeoutError is for the test."""
    try:
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(1 << 16):
            pass
    except ConnectionError:
        return
    except OSError as error:  # a reset that came between sending and shutting down is no ConnectionError
        if error.errno != errno.ENOTCONN:
            raise


def ended(site: Site) -> float:
    """How many associations have ended, in whatever way."""
    (metric,) = (each for each in site.metrics.registry.collect() if each.name == "lungscope_dimse_associations")
    return sum(each.value for each in metric.samples if each.name.endswith("_total"))


@pytest.mark.filterwarnings("ignore")  # of threads of associations that ended, and of values that are none
def test_the_door_outlives_whatever_is_sent(tmp_path: Path) -> None:
    chance = random.Random(5)
    whole = request_bytes() + b"".join(store_pdus(SLICE, uid=UID_0)) + A_RELEASE_RQ().encode()
    with opened(tmp_path, associations=64, request_s=2, idle_s=2, patience_s=2) as site:
        for _ in range(ROUNDS):
            with socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE_S) as peer:
                send_and_hear_out(peer, changed(whole, chance))
        assert eventually(lambda: ended(site) >= ROUNDS)
        assert not site.leftovers()
        before = len(site.instances())
        with Caller(site.port) as caller:
            assert caller.store(SLICE, uid=UID_0) == 0
        assert len(site.instances()) in (before, before + 1)
