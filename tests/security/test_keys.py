"""API keys: made, stored as digests, read again when their file changes."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from app.errors import SettingsError
from app.security.caller import Caller
from app.security.callers import Callers, keys_of_token
from app.security.keys import PREFIX, KeyFile, digest_of, new_key, read_keys


def write(path: Path, *lines: str) -> None:
    """As a deployment does: the file that is read is never half written."""
    new = path.with_suffix(".new")
    new.write_text("\n".join(lines))
    new.chmod(0o600)
    new.replace(path)


def test_a_new_key_is_known_by_its_line_which_does_not_hold_it() -> None:
    key, line = new_key("pacs-router", "dicomweb:write,dicomweb:read")
    assert key.startswith(PREFIX)
    assert len(key) >= 50
    assert key not in line
    assert key.removeprefix(PREFIX) not in line
    assert read_keys(line) == {digest_of(key): Caller("pacs-router", frozenset({"dicomweb:write", "dicomweb:read"}))}


def test_no_two_keys_are_alike() -> None:
    assert len({new_key("a", "predict")[0] for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("name", "scopes"), [("a b", "predict"), ("", "predict"), ("a", "predcit"), ("a", ""), ("a", "predict,")]
)
def test_a_key_that_could_not_be_read_is_not_made(name: str, scopes: str) -> None:
    with pytest.raises(SettingsError):
        new_key(name, scopes)


def test_comments_and_empty_lines_do_not_count() -> None:
    key, line = new_key("a", "predict")
    assert set(read_keys(f"# keys\n\n{line}  # since May\n")) == {digest_of(key)}


@pytest.mark.parametrize("line", ["lungscope_thesecret", "name predict lungscope_thesecret", "n predict sha256:12 x"])
def test_a_wrong_line_is_named_by_number_and_never_quoted(line: str) -> None:
    with pytest.raises(SettingsError, match="line 2") as caught:
        read_keys(f"# keys\n{line}\n")
    assert "thesecret" not in str(caught.value)


def test_keys_are_replaced_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "keys.txt"
    (old, old_line), (new, new_line) = new_key("router", "predict"), new_key("router", "predict")
    write(path, old_line)
    file = KeyFile(path)
    assert set(file.keys()) == {digest_of(old)}
    write(path, old_line, new_line)
    assert len(file.keys()) == 2
    assert len(set(file.keys().values())) == 1
    with caplog.at_level(logging.INFO):
        write(path, new_line)
        assert set(file.keys()) == {digest_of(new)}
    assert "1 keys read again" in caplog.text


def test_a_spoilt_file_changes_nothing_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "keys.txt"
    key, line = new_key("router", "predict")
    write(path, line)
    file = KeyFile(path)
    write(path, "lungscope_thesecret")
    for _ in range(3):
        assert set(file.keys()) == {digest_of(key)}
    assert caplog.text.count("the keys are not read again") == 1
    assert "thesecret" not in caplog.text
    path.unlink()
    assert set(file.keys()) == {digest_of(key)}


def test_a_file_that_is_being_written_anew_keeps_nobody_out(tmp_path: Path) -> None:
    """It is empty for a moment, and may then turn out to be spoilt."""
    path, now = tmp_path / "keys.txt", [0.0]
    key, line = new_key("router", "predict")
    write(path, line)
    file = KeyFile(path, lambda: now[0])
    write(path, "")
    assert set(file.keys()) == {digest_of(key)}
    now[0] = 0.9
    write(path, "lungscope_thesecret")
    now[0] = 5.0
    assert set(file.keys()) == {digest_of(key)}
    write(path, "# none")
    assert set(file.keys()) == {digest_of(key)}
    now[0] = 5.9
    assert set(file.keys()) == {digest_of(key)}
    now[0] = 6.0
    assert not file.keys()
    write(path, line)
    assert set(file.keys()) == {digest_of(key)}


def test_an_empty_file_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    write(path, new_key("router", "predict")[1])
    callers = Callers({}, KeyFile(path))
    write(path, "")
    assert callers.guarded
    assert callers.known("Bearer anything") is None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.txt"
    path.write_text(new_key("router", "predict")[1])
    path.chmod(mode)
    with pytest.raises(SettingsError, match="others than its owner may write"):
        KeyFile(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    with pytest.raises(SettingsError, match=r"keys\.txt"):
        KeyFile(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="UTF-8"):
        KeyFile(path)


def test_a_mounted_secret_that_is_swapped_is_seen(tmp_path: Path) -> None:
    """A link to a folder that is exchanged, as Kubernetes updates a secret: same name, same size, maybe same time."""
    keys = [new_key("router", "predict") for _ in range(2)]
    for n, (_, line) in enumerate(keys):
        (tmp_path / str(n)).mkdir()
        write(tmp_path / str(n) / "keys.txt", line)
        os.utime(tmp_path / str(n) / "keys.txt", (1, 1))
    link = tmp_path / "now"
    link.symlink_to("0")
    file = KeyFile(link / "keys.txt")
    assert set(file.keys()) == {digest_of(keys[0][0])}
    (tmp_path / "next").symlink_to("1")
    (tmp_path / "next").replace(link)
    assert set(file.keys()) == {digest_of(keys[1][0])}


@pytest.mark.parametrize(
    ("shown", "known"),
    [
        ("Bearer " + "t" * 16, True),
        ("bearer " + "t" * 16, True),
        ("t" * 16, False),
        ("Basic " + "t" * 16, False),
        ("Bearer ", False),
        ("Bearer " + "t" * 15, False),
        ("", False),
        ("Bearer té", False),
    ],
)
def test_the_one_token_goes_on_working(shown: str, known: bool) -> None:
    caller = Callers(keys_of_token("t" * 16)).known(shown)
    assert (caller is not None) == known
    if caller is not None:
        assert caller.may("admin")
        assert caller.may("dicomweb:write")
