"""By which names the service may be called."""

from __future__ import annotations

import pytest

from app.security.hosts import TrustedHosts, is_loopback


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8000", "[::1]:8000", "10.1.2.3", "localhost", "lungscope:8000", ""]
)
@pytest.mark.parametrize("guarded", [True, False])
def test_addresses_and_names_of_this_network_are_answered(host: str, guarded: bool) -> None:
    assert TrustedHosts((), guarded=guarded).holds(host)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "EVIL.example.", "127.0.0.1.evil.example", "a.b"]
)
def test_a_page_that_has_its_name_point_here_is_not_where_anybody_may_call(host: str) -> None:
    assert not TrustedHosts((), guarded=False).holds(host)
    assert TrustedHosts((), guarded=True).holds(host)


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize(
    ("host", "held"),
    [
        ("lungs.hospital.example", True),
        ("LUNGS.hospital.example:443", True),
        ("lungs.hospital.example.", True),
        ("a.clinic.example", True),
        ("a.b.clinic.example", True),
        ("clinic.example", False),
        ("evilclinic.example", False),
        ("hospital.example", False),
        ("other", False),
        ("127.0.0.1:8000", True),
        ("[fe80::1%25eth0]", True),
    ],
)
def test_with_a_list_only_its_names_and_addresses_are_answered(host: str, held: bool, guarded: bool) -> None:
    hosts = TrustedHosts(("Lungs.Hospital.example", "*.clinic.example"), guarded=guarded)
    assert hosts.holds(host) == held


def test_a_star_is_any_name() -> None:
    assert TrustedHosts(("*",), guarded=False).holds("evil.example")


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_what_only_this_machine_reaches(address: str, here: bool) -> None:
    assert is_loopback(address) == here
