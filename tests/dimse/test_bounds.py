"""What callers can cost: associations, connections, bytes, time."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.server.tls import server_context
from benchmarks.serving.service import eventually
from tests.dimse.caller import ABORTED, ACCEPTED, PATIENCE_S, Caller, store_pdus
from tests.dimse.conftest import SLICE, UID_0, Site, opened
from tests.server.test_tls import Pairs, make

GONE = (ABORTED, 0)


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Site]:
    """A door for two."""
    with opened(tmp_path, associations=2) as site:
        yield site


def test_of_too_many_associations_the_last_hears_so_and_those_before_go_on(crowded: Site) -> None:
    with Caller(crowded.port) as one, Caller(crowded.port) as other:
        with Caller(crowded.port) as third:
            assert third.rejection == (2, 3, 2)
        assert crowded.counted("associations", "too_many")
        assert one.store(SLICE, uid=UID_0) == other.echo() == 0
        one.release()
        other.release()
    assert eventually(lambda: let_in(crowded.port))


def let_in(port: int, tls: ssl.SSLContext | None = None) -> bool:
    try:
        with Caller(port, tls=tls) as caller:
            return caller.kind == ACCEPTED
    except OSError:
        return False


def test_who_only_connects_takes_no_place(crowded: Site) -> None:
    address = ("127.0.0.1", crowded.port)
    silent = [socket.create_connection(address, timeout=PATIENCE_S) for _ in range(2)]
    assert let_in(crowded.port)
    for each in silent:
        each.close()


def test_a_flood_of_connections_is_closed_beyond_the_bound(crowded: Site) -> None:
    address = ("127.0.0.1", crowded.port)
    flood = [socket.create_connection(address, timeout=PATIENCE_S) for _ in range(5)]
    assert flood[-1].recv(1) == b""
    assert crowded.counted("associations", "too_many")
    for each in flood:
        each.close()


def test_a_pdu_longer_than_was_agreed_ends_the_connection(site: Site) -> None:
    with Caller(site.port) as caller:
        caller.socket.sendall(struct.pack(">BBL", 4, 0, (1 << 32) - 1))
        assert caller.pdu()[0] in GONE
    with socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE_S) as plain:
        plain.sendall(struct.pack(">BBL", 1, 0, 1 << 30))
        assert plain.recv(1) == b""


def test_half_a_pdu_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with opened(tmp_path, patience_s=0.2) as site, Caller(site.port) as caller:
        caller.socket.sendall(struct.pack(">BBL", 4, 0, 100) + b"half")
        assert caller.pdu()[0] in GONE


def test_a_connection_that_asks_for_nothing_is_closed(tmp_path: Path) -> None:
    with (
        opened(tmp_path, request_s=0.2) as site,
        socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE_S) as silent,
    ):
        assert silent.recv(1) == b""
        assert site.counted("associations", "not_asked")


def test_an_association_in_which_nothing_happens_is_ended(tmp_path: Path) -> None:
    with opened(tmp_path, idle_s=0.2) as site, Caller(site.port) as caller:
        assert caller.pdu()[0] in GONE


def test_an_instance_larger_than_may_be_is_given_up_while_it_comes(tmp_path: Path) -> None:
    with opened(tmp_path, instance_bytes=len(SLICE) - 1) as site:
        with Caller(site.port) as caller:
            assert caller.store(SLICE, uid=UID_0) is None
        assert site.counted("instances", "broken_off")
        assert not site.instances()
        assert eventually(lambda: not site.leftovers())


def test_an_instance_that_comes_too_slowly_is_given_up(tmp_path: Path) -> None:
    with opened(tmp_path, patience_s=0.2, least_rate=1e12) as site:
        with Caller(site.port) as caller:
            first, *rest = store_pdus(SLICE * 20, uid=UID_0)
            caller.socket.sendall(first)
            eventually(lambda: _went(caller, rest))
        assert site.counted("instances", "broken_off")


def _went(caller: Caller, pdus: list[bytes]) -> bool:
    """Whether the connection has ended; else one more PDU is sent, but never the last."""
    try:
        caller.socket.sendall(pdus.pop(0) if len(pdus) > 1 else b"")
    except ConnectionError:
        return True
    caller.socket.settimeout(0.05)
    try:
        return caller.socket.recv(1) in (b"", bytes([ABORTED]))
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it answers when all is over
def test_requests_without_waiting_for_answers_end_the_association(site: Site) -> None:
    with Caller(site.port) as caller:
        pdus = b"".join(store_pdus(SLICE, uid=UID_0))
        try:
            for _ in range(40):
                caller.socket.sendall(pdus)
        except ConnectionError:
            return
        kinds = []
        while (kind := caller.pdu()[0]) not in GONE:
            kinds.append(kind)
        assert len(kinds) < 40


def test_a_caller_who_goes_away_leaves_nothing_half(site: Site) -> None:
    with Caller(site.port) as caller:
        for pdu in list(store_pdus(SLICE, uid=UID_0))[:-1]:
            caller.socket.sendall(pdu)
    assert site.counted("instances", "broken_off")
    assert site.counted("associations", "aborted")
    assert not site.instances()
    assert eventually(lambda: not site.leftovers())


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    folder = tmp_path_factory.mktemp("certificates")
    authority, issuer = make(folder, "authority")
    service, client = (make(folder, name, issuer)[0] for name in ("service", "client"))
    return Pairs(authority, service, client, make(folder, "stranger")[0])


def test_tls_asks_for_a_certificate_and_who_does_not_shake_hands_keeps_nobody_waiting(
    tmp_path: Path, pairs: Pairs
) -> None:
    context = server_context(pairs.service.certificate, pairs.service.key, pairs.authority.certificate)
    with opened(tmp_path, tls=context) as site:
        silent = socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE_S)
        ours = ssl.create_default_context(cafile=str(pairs.authority.certificate))
        ours.load_cert_chain(pairs.client.certificate, pairs.client.key)
        with Caller(site.port, tls=ours) as caller:
            assert caller.store(SLICE, uid=UID_0) == 0
        anonymous = ssl.create_default_context(cafile=str(pairs.authority.certificate))
        assert not let_in(site.port, anonymous)
        assert not let_in(site.port)
        silent.close()
