"""What a user gets for arguments: the value that was meant, or one line that says what is wrong."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import cli
from app.cli.arguments import read_arguments
from app.inference import registry, signatures
from tests.fakes import ArithmeticModels, write_models

VALUES = {
    "--roi": "-1,5",
    "--pixel-spacing-mm": "0.7,0.7",
    "--window": "-300,1400",
    "--frame": "2",
    "--explain": "true",
    "--csv": "-",
}


@pytest.fixture(autouse=True)
def arithmetic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_models(tmp_path / "models")
    monkeypatch.setenv("LUNGSCOPE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setattr(registry, "create_backend", lambda _name, _threads: ArithmeticModels())


@pytest.mark.parametrize(("option", "value"), VALUES.items())
def test_a_value_may_stand_beside_its_option_or_behind_an_equals_sign(option: str, value: str) -> None:
    name = option.removeprefix("--").replace("-", "_")
    beside = read_arguments(["predict", "x.dcm", option, value])
    assert str(getattr(beside, name)) == value
    assert vars(beside) == vars(read_arguments(["predict", f"{option}={value}", "x.dcm"]))
    assert vars(beside) == vars(read_arguments(["predict", option, value, "--", "x.dcm"]))


def test_paths_may_stand_between_options() -> None:
    options = read_arguments(["predict", "a.dcm", "--roi", "1,2", "b.dcm", "--json", "-"])
    assert (options.paths, options.roi, options.json) == ([Path("a.dcm"), Path("b.dcm"), Path("-")], "1,2", True)


def test_behind_two_hyphens_everything_is_a_path() -> None:
    options = read_arguments(["predict", "--json", "--", "--window", "-300,1400"])
    assert options.paths == [Path("--window"), Path("-300,1400")]


WRONG = [
    (["predict", "x.dcm", "--roi", "somewhere"], "--roi: found 'somewhere', expected column,row in pixels"),
    (["predict", "x.dcm", "--roi", "-x"], "--roi: found '-x'"),
    (["predict", "x.dcm", "--roi", "nan,1"], "--roi: found 'nan,1'"),
    (["predict", "x.dcm", "--roi", ""], "--roi: found '', expected column,row"),
    (["predict", "x.dcm", "--roi", "--json"], "--roi: expected one argument"),
    (["predict", "x.dcm", "--roi"], "--roi: expected one argument"),
    (["predict", "x.dcm", "--window", "-300,-1400"], "--window: found '-300,-1400', expected center,width in HU"),
    (["predict", "x.dcm", "--pixel-spacing-mm", "-0.7"], "--pixel-spacing-mm: found '-0.7', expected one number"),
    (["predict", "x.dcm", "--frame", "x"], "--frame: found 'x', expected a whole number from 1"),
    (["predict", "x.dcm", "--frame", "-1"], "--frame: found '-1'"),
    (["predict", "x.dcm", "--explain", "maybe"], "--explain: found 'maybe', expected true or false"),
    (["predict", "x.dcm", "--language", "fr"], "--language: invalid choice"),
    (["predict", "x.dcm", "--wind", "1,2"], "unrecognized arguments: --wind"),
    (["predict", "x.dcm", "--json", "--csv", "x.csv"], "not allowed with argument"),
    (["predict", ""], "PATH: found an empty text"),
    (["predict"], "PATH"),
    (["serve", "--port", "99999"], "--port: found '99999', expected a port from 0 to 65535"),
    (["serve", "--port", "-1"], "--port: found '-1'"),
    (["serve", "--port", "http"], "--port: found 'http'"),
    (["serve", "--port", "9" * 5000], "--port: found"),
    (["serve", "--workers", "0"], "--workers: found '0', expected processes from 1 to 256"),
    (["serve", "--workers", "٣"], "--workers: found '٣'"),
    (["serve", "--workers", "100000"], "--workers: found '100000'"),
    (["serve", "--host", " "], "--host: found ' '"),
    (["guess"], "invalid choice: 'guess'"),
    ([], "COMMAND"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_a_wrong_argument_is_one_line(arguments: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == cli.CANNOT_START
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=8)
TOKENS = st.one_of(
    st.sampled_from(["predict", "serve", "models", "--", "-", "-h", "--version", "--workers", "--port", "--host"]),
    st.sampled_from(["--json", "--slices", "--language", "x.dcm", "-1,5", "1,5", "true", "zh", "\udcff", *VALUES]),
    st.builds("{}={}".format, st.sampled_from(list(VALUES)), TEXTS),
    TEXTS,
)


def code_of(arguments: Sequence[str]) -> int | None:
    """The exit code when reading the arguments ends the command; None when it goes on."""
    try:
        read_arguments(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return None


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.lists(TOKENS, max_size=7))
def test_whatever_is_given_is_taken_or_refused_in_one_line(arguments: list[str]) -> None:
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as said:
        code = code_of(arguments)
    assert code in (None, cli.OK, cli.CANNOT_START)
    assert len(said.getvalue().splitlines()) == (code == cli.CANNOT_START)


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "-h"], ["predict", "--help"], ["--version"]])
def test_help_is_a_success(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == cli.OK
    assert capsys.readouterr().out


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    shown = capsys.readouterr()
    (line,) = shown.err.splitlines()
    assert shown.out == ""
    return line


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("host", ["nonsense.invalid", "a..b", "x" * 70, "http://127.0.0.1", "192.0.2.1"])
def test_an_address_of_another_machine_is_one_line(host: str, workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["serve", "--host", host, "--workers", workers]) == cli.CANNOT_START
    assert host in one_line(capsys)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_one_line(workers: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert cli.main(["serve", "--port", port, "--workers", workers]) == cli.CANNOT_START
    line = one_line(capsys)
    assert f"port {port}" in line
    assert "in use" in line


def test_models_that_may_not_be_read_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "models"))

    monkeypatch.setattr(signatures, "find_bundle", refuse)
    assert cli.main(["models"]) == cli.CANNOT_START
    assert one_line(capsys) == f"lungscope: Permission denied: {tmp_path / 'models'}"
