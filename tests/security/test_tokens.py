"""Tokens of an identity provider: which are taken, and how its keys are kept and renewed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.errors import IdentityUnavailable, NotAuthorised, SettingsError
from app.security.caller import Caller
from app.security.key_sets import COOLDOWN_S, MAX_AGE_S, STALE_S, AddressSource, FileSource, KeySet
from app.security.tokens import KNOWN_FOR_S, TokenRules, Tokens
from tests.clock import Clock
from tests.security.provider import AUDIENCE, ISSUER, Provider

LEEWAY_S = 30


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def tokens(provider: Provider, tmp_path: Path) -> Tokens:
    path = tmp_path / "jwks.json"
    path.write_bytes(provider.key_set())
    return Tokens(TokenRules(ISSUER, AUDIENCE, LEEWAY_S), KeySet(FileSource(path)))


def ask(tokens: Tokens, token: str) -> Caller:
    return asyncio.run(tokens.caller(token))


def refused(tokens: Tokens, token: str) -> bool:
    with pytest.raises(NotAuthorised) as caught:
        ask(tokens, token)
    return caught.value.shown


@pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES256", "EdDSA"])
def test_a_good_token_names_its_caller_and_scopes(provider: Provider, tmp_path: Path, algorithm: str) -> None:
    provider.add("second", algorithm)
    path = tmp_path / "jwks.json"
    path.write_bytes(provider.key_set())
    tokens = Tokens(TokenRules(ISSUER, AUDIENCE), KeySet(FileSource(path)))
    token = provider.token("second", scope="openid lungscope:predict lungscope:dicomweb:read other:admin admin")
    assert ask(tokens, token) == Caller("jwt:router", frozenset({"predict", "dicomweb:read"}))


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("scp", {"scp": ["lungscope:studies"]}),
        ("realm_access.roles", {"realm_access": {"roles": ["lungscope:studies", 7]}}),
    ],
)
def test_scopes_are_looked_for_where_the_provider_puts_them(
    provider: Provider, tmp_path: Path, claim: str, claims: dict[str, Any]
) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(provider.key_set())
    tokens = Tokens(TokenRules(ISSUER, AUDIENCE, scope_claim=claim), KeySet(FileSource(path)))
    assert ask(tokens, provider.token(**claims)).scopes == {"studies"}
    assert ask(tokens, provider.token()).scopes == set()


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"aud": "another-service"},
        {"aud": None},
        {"exp": None},
        {"exp": 1},
        {"nbf": 9_999_999_999},
        {"sub": None},
        {"sub": ""},
        {"sub": ["router"]},
    ],
    ids=str,
)
def test_a_token_for_others_or_of_others_is_refused(tokens: Tokens, provider: Provider, claims: dict[str, Any]) -> None:
    try:
        token = provider.token(**claims)
    except TypeError:  # PyJWT itself writes no such token
        token = _signed_by_hand(provider, claims)
    assert refused(tokens, token)


def _signed_by_hand(provider: Provider, claims: dict[str, Any]) -> str:
    algorithm, private = provider._private["first"]
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": time.time() + 60, **claims}
    return jwt.api_jws.encode(json.dumps(said).encode(), private, algorithm, {"kid": "first"})


@pytest.mark.parametrize(("late_s", "taken"), [(LEEWAY_S / 2, True), (LEEWAY_S * 2, False)])
def test_clocks_may_differ_by_the_leeway(tokens: Tokens, provider: Provider, late_s: float, taken: bool) -> None:
    over = provider.token(exp=time.time() - late_s)
    early = provider.token(nbf=time.time() + late_s)
    for token in (over, early):
        if taken:
            assert ask(tokens, token).name == "jwt:router"
        else:
            assert refused(tokens, token)


def test_another_key_under_the_same_id_is_refused(tokens: Tokens) -> None:
    assert refused(tokens, Provider().token())


def test_a_changed_claim_breaks_the_signature(tokens: Tokens, provider: Provider) -> None:
    head, body, signature = provider.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps({**claims, "scope": "lungscope:admin"}).encode()).rstrip(b"=")
    assert refused(tokens, f"{head}.{forged.decode()}.{signature}")


def test_no_signature_and_one_with_the_public_key_as_a_secret_are_refused(tokens: Tokens, provider: Provider) -> None:
    """RFC 8725 2.1: the caller chooses `alg`."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": time.time() + 60, "scope": "lungscope:admin"}
    assert refused(tokens, jwt.encode(claims, "", "none", {"kid": "first"}))
    parts = [{"alg": "HS256", "kid": "first", "typ": "JWT"}, claims]
    text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    secret = json.loads(provider.key_set())["keys"][0]["n"].encode()
    mac = base64.urlsafe_b64encode(hmac.digest(secret, text, hashlib.sha256)).rstrip(b"=")
    assert refused(tokens, (text + b"." + mac).decode())


def test_a_key_is_used_for_its_own_algorithm_only(tokens: Tokens, provider: Provider) -> None:
    _, private = provider._private["first"]
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": time.time() + 60}
    assert refused(tokens, jwt.encode(claims, private, "PS256", {"kid": "first"}))


@pytest.mark.parametrize("token", ["a.b.c", "..", "a.b.c.d", "é.é.é", "x" * 9000 + ".b.c"], ids=range(5))
def test_what_is_no_token_is_refused(tokens: Tokens, token: str) -> None:
    assert refused(tokens, token)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={name: JSON | st.sampled_from(["RS256", "first", "JWT"]) for name in ("alg", "kid", "typ", "crit", "b64")},
)


@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HEADERS | JSON, JSON, st.binary(max_size=300))
def test_whatever_a_stranger_writes_is_refused_and_breaks_nothing(
    tokens: Tokens, header: Any, claims: Any, signature: bytes
) -> None:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    assert refused(tokens, b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts).decode())


def test_json_of_any_depth_is_refused(tokens: Tokens) -> None:
    deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 4000).rstrip(b"=").decode()
    assert refused(tokens, f"{deep}.e30.AA")


def test_a_token_that_was_checked_is_known_for_a_while(provider: Provider, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(provider.key_set())
    now = [time.time()]
    tokens = Tokens(TokenRules(ISSUER, AUDIENCE), KeySet(FileSource(path)), lambda: now[0])
    token = provider.token(exp=now[0] + 3600)
    assert tokens.known(token) is None
    caller = ask(tokens, token)
    assert tokens.known(token) == caller
    now[0] += KNOWN_FOR_S
    assert tokens.known(token) is None


def test_a_new_key_of_the_provider_is_found_and_a_withdrawn_one_forgotten(provider: Provider, clock: Clock) -> None:
    with provider.serving() as address:
        tokens = Tokens(TokenRules(ISSUER, AUDIENCE), KeySet(AddressSource(address), clock))
        old = provider.token()
        assert ask(tokens, old).name == "jwt:router"
        provider.add("second", "ES256")
        clock.now += COOLDOWN_S
        assert ask(tokens, provider.token("second")).name == "jwt:router"
        asked = provider.asked
        provider.withdraw("first")
        clock.now += MAX_AGE_S
        tokens._known.clear()
        assert refused(tokens, old)
    assert asked == 2


def test_made_up_ids_do_not_have_the_provider_asked_again_and_again(provider: Provider, clock: Clock) -> None:
    with provider.serving() as address:
        tokens = Tokens(TokenRules(ISSUER, AUDIENCE), KeySet(AddressSource(address), clock))
        for n in range(20):
            assert refused(tokens, provider.token(header={"kid": f"made-up-{n}"}))
    assert provider.asked == 1


def test_a_provider_that_is_down_is_done_without_for_a_day(provider: Provider, clock: Clock) -> None:
    with provider.serving() as address:
        keys = KeySet(AddressSource(address), clock)
        tokens = Tokens(TokenRules(ISSUER, AUDIENCE), keys)
        ask(tokens, provider.token())
        provider.down = True
        clock.now += MAX_AGE_S + 1
        assert ask(tokens, provider.token(jti="another")).name == "jwt:router"
        clock.now += STALE_S
        with pytest.raises(IdentityUnavailable):
            ask(tokens, provider.token(jti="a third"))


def test_without_any_keys_nobody_can_be_told(tmp_path: Path) -> None:
    for content in (None, b"[]", b"not JSON", b'{"keys": 1}'):
        path = tmp_path / "jwks.json"
        if content is not None:
            path.write_bytes(content)
        tokens = Tokens(TokenRules(ISSUER, AUDIENCE), KeySet(FileSource(path)))
        with pytest.raises(IdentityUnavailable):
            ask(tokens, Provider().token())


def test_a_file_of_keys_is_read_again_when_it_has_changed(provider: Provider, tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(provider.key_set())
    tokens = Tokens(TokenRules(ISSUER, AUDIENCE), KeySet(FileSource(path), clock))
    ask(tokens, provider.token())
    provider.add("second", "ES256")
    provider.withdraw("first")
    clock.now += COOLDOWN_S
    path.write_bytes(provider.key_set())
    assert ask(tokens, provider.token("second")).name == "jwt:router"


@pytest.mark.parametrize("url", ["http://id.example/jwks", "ftp://id.example/jwks", "https.example"])
def test_keys_do_not_come_by_a_way_on_which_they_can_be_replaced(url: str) -> None:
    with pytest.raises(SettingsError, match="LUNGSCOPE_JWKS"):
        AddressSource(url)
