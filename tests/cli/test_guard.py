"""Who may call, as far as the command line decides it: `serve` where others could reach it, and `keys new`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from app import cli
from app.security.caller import Caller
from app.security.keys import digest_of, new_key, read_keys


class Started(Exception):
    """The service would have started."""


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop where the guard has let `serve` through."""

    def started(*_: object) -> None:
        raise Started

    monkeypatch.setattr("app.cli.serve._configure", started)


def serve(host: str, *options: str) -> int:
    return cli.main(["serve", "--host", host, "--port", "0", "--workers", "1", *options])


@pytest.mark.usefixtures("start")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_on_this_machine_alone_nobody_is_asked(host: str) -> None:
    with pytest.raises(Started):
        serve(host)


@pytest.mark.usefixtures("start")
@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_address_that_others_reach_needs_keys(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve(host) == cli.CANNOT_START
    (line,) = capsys.readouterr().err.splitlines()
    for word in ("LUNGSCOPE_KEYS_FILE", "--insecure-open", "LUNGSCOPE_OPEN=true", "docs/security.md"):
        assert word in line


@pytest.mark.usefixtures("start")
@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (("--insecure-open",), {}),
        ((), {"OPEN": "true"}),
        ((), {"API_TOKEN": "t" * 16}),
        ((), {"API_TOKEN_FILE": "token"}),
        ((), {"KEYS_FILE": "keys"}),
        ((), {"JWT_ISSUER": "https://id.example", "JWT_AUDIENCE": "lungscope", "JWKS": "jwks"}),
    ],
    ids=str,
)
def test_with_keys_or_on_purpose_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Sequence[str], settings: dict[str, str]
) -> None:
    (tmp_path / "token").write_text("t" * 16 + "\n")
    (tmp_path / "keys").write_text(new_key("a", "predict")[1])
    (tmp_path / "keys").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(f"LUNGSCOPE_{name}", value)
    with pytest.raises(Started):
        serve("0.0.0.0", *options)


def test_keys_new_shows_the_key_once_and_gives_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", "new", "--name", "router", "--scopes", "predict,dicomweb:write"]) == cli.OK
    shown = capsys.readouterr()
    ((digest, caller),) = read_keys(shown.out).items()
    (key,) = [word for word in shown.err.split() if digest_of(word) == digest]
    assert key not in shown.out
    assert caller == Caller("router", frozenset({"predict", "dicomweb:write"}))


@pytest.mark.parametrize("arguments", [("--name", "a b", "--scopes", "predict"), ("--name", "a", "--scopes", "all")])
def test_a_key_that_cannot_be_is_one_line(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["keys", "new", *arguments]) == cli.CANNOT_START
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
