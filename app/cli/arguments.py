"""The arguments of every command: each value is checked where it is given, and an error is one line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from app import __version__
from app.cli.exits import CANNOT_START
from app.errors import InvalidParameter
from app.machine import usable_cores
from app.security.scopes import SCOPES
from app.settings import TITLE

MAX_PORT: Final = 65535  # RFC 9293 3.1: 16 bits
MAX_WORKERS: Final = 256  # as LUNGSCOPE_THREADS; each worker holds the models
HELP: Final = ("-h", "--help", "--version")


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The command and its options; raises SystemExit, with the exit code, for a wrong argument and after --help."""
    parser = _Parser(prog="lungscope", description="Research use only. Not a medical device.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    options = [*_serve(commands), *_predict(commands), *_accept(commands), *_sign(commands), *_keys(commands)]
    options += [*_audit(commands), *_receipt(commands), *_jobs(commands), *_batch(commands), *_dimse(commands)]
    options += _feedback(commands)
    commands.add_parser("models", help="verify and describe the bundles")
    names = {name for option in options for name in option.option_strings}
    valued = {name for option in options for name in option.option_strings if option.nargs is None}
    return parser.parse_args(_ordered(arguments, valued, names.union(HELP)))


class _Parser(argparse.ArgumentParser):
    """argparse's, without abbreviated options, which a later option could make ambiguous."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """End with one line."""
        self.exit(CANNOT_START, f"{self.prog}: {' '.join(message.splitlines())}; see {self.prog} --help\n")


def _serve(commands: Any) -> list[argparse.Action]:
    serve = commands.add_parser("serve", help="answer over HTTP")
    return [
        serve.add_argument(
            "--host",
            type=_host,
            default="127.0.0.1",
            help="address to listen on; one that others reach needs keys for the callers, or --insecure-open",
        ),
        serve.add_argument("--port", type=_whole("a port", 0, MAX_PORT), default=8000),
        serve.add_argument(
            "--workers",
            type=_whole("processes", 1, MAX_WORKERS),
            default=usable_cores(),
            metavar="N",
            help="processes; default: one per usable core",
        ),
        serve.add_argument(
            "--insecure-open",
            action="store_true",
            help="let whoever reaches HOST use the service without a key (as LUNGSCOPE_OPEN=true)",
        ),
    ]


def _dimse(commands: Any) -> list[argparse.Action]:
    dimse = commands.add_parser("dimse", help="take series by C-STORE, for the running service to judge")
    return [
        dimse.add_argument("--host", type=_host, default="127.0.0.1", help="address to listen on"),
        dimse.add_argument("--port", type=_whole("a port", 0, MAX_PORT), default=11112),
        dimse.add_argument("--aet", type=_title, metavar="TITLE", help="own AE title; default: LUNGSCOPE_DIMSE_TITLE"),
        dimse.add_argument(
            "--metrics-port",
            type=_whole("a port", 1, MAX_PORT),
            metavar="PORT",
            help="show counts to Prometheus there, on this machine alone",
        ),
    ]


def _predict(commands: Any) -> list[argparse.Action]:
    predict = commands.add_parser("predict", help="judge slices and series")
    predict.add_argument(
        "paths", nargs="+", type=_path, metavar="PATH", help="a CT slice, a zip of a series, or a folder of either"
    )
    options = [
        predict.add_argument("--slices", action="store_true", help="judge every file of a folder alone, series or not")
    ]
    for name, metavar, text in (
        ("roi", "COLUMN,ROW", "judge the nodule there, in pixels of the image"),
        ("pixel_spacing_mm", "MM", "for images that do not state it"),
        ("window", "CENTER,WIDTH", "HU window of an 8- or 16-bit picture"),
        ("frame", "N", "frame of a multi-frame image, from 1"),
        ("explain", "BOOL", "true adds the evidence map to --json"),
        ("guidelines", "NAMES", "add to --json what guidelines say, e.g. fleischner,lung-rads"),
        ("context", "JSON", "what is known of the patient, for the guidelines"),
    ):
        option = f"--{name.replace('_', '-')}"
        options.append(predict.add_argument(option, type=_parameter(name), metavar=metavar, help=text))
    options.append(
        predict.add_argument("--language", choices=("en", "zh"), default="en", help="of the words shown"),
    )
    options.append(
        predict.add_argument(
            "--out",
            type=_path,
            metavar="DIR",
            help="write findings.csv, and pictures and a report as HTML and PDF of each case, to a new or empty DIR",
        )
    )
    output = predict.add_mutually_exclusive_group()
    options.append(
        output.add_argument(
            "--json", action="store_true", help="one JSON object a file or series, one a line, on standard output"
        )
    )
    options.append(
        output.add_argument("--csv", type=_path, metavar="FILE", help="write a table to FILE, or to standard output: -")
    )
    return options


def _batch(commands: Any) -> list[argparse.Action]:
    batch = commands.add_parser("batch", help="judge every series of an archive into tables (Parquet)")
    batch.add_argument(
        "source",
        type=_path,
        metavar="SOURCE",
        help="a folder of series and zips, a zip, or a text file that names one of them on each line",
    )
    return [
        batch.add_argument(
            "--out",
            type=_path,
            required=True,
            metavar="DIR",
            help="gets the tables series.parquet, findings.parquet and failures.parquet; of a batch that was stopped: "
            "go on",
        ),
        batch.add_argument(
            "--workers",
            type=_whole("processes", 1, MAX_WORKERS),
            default=usable_cores(),
            metavar="N",
            help="processes that judge; default: one per usable core",
        ),
        batch.add_argument(
            "--identifiers",
            choices=("hash", "plain"),
            default="hash",
            help="name studies, series, instances and files by keyed hashes, or as they are; default: hash",
        ),
    ]


def _accept(commands: Any) -> list[argparse.Action]:
    accept = commands.add_parser("accept", help="test a bundle on a site's own labelled cases, and record it")
    return [
        accept.add_argument("--bundle", type=_path, required=True, metavar="DIR", help="…/<name>/<integer>"),
        accept.add_argument("--data", type=_path, required=True, metavar="CSV", help="a table: see docs/training.md"),
        accept.add_argument("--out", type=_path, required=True, metavar="DIR", help="gets record.html and record.json"),
        accept.add_argument(
            "--recalibrate",
            type=_path,
            metavar="DIR",
            help="write a new version with calibration and conformal sets of these cases",
        ),
        accept.add_argument(
            "--by", action="append", metavar="COLUMN", help="a column of the table to group by; again for more"
        ),
        accept.add_argument("--key", type=_path, metavar="PEM", help="Ed25519 key that signs what is written"),
        accept.add_argument("--tested-by", metavar="NAME", help="who answers for the test; stands in the record"),
    ]


def _sign(commands: Any) -> list[argparse.Action]:
    sign = commands.add_parser("sign", help="sign bundles, for LUNGSCOPE_TRUSTED_KEY")
    sign.add_argument("bundles", nargs="+", type=_path, metavar="BUNDLE", help="…/<name>/<integer>")
    return [sign.add_argument("--key", type=_path, required=True, metavar="PEM", help="Ed25519 private key")]


def _keys(commands: Any) -> list[argparse.Action]:
    keys = commands.add_parser("keys", help="make keys for callers, for LUNGSCOPE_KEYS_FILE")
    keys.add_argument("action", choices=("new",), help="make a key and print it, once, with its line for the file")
    return [
        keys.add_argument("--name", required=True, metavar="NAME", help="of the caller, for logs and limits"),
        keys.add_argument("--scopes", required=True, metavar="SCOPE,SCOPE", help=", ".join(sorted(SCOPES))),
    ]


def _audit(commands: Any) -> list[argparse.Action]:
    audit = commands.add_parser("audit", help="check, search and anchor the audit trail")
    audit.add_argument(
        "action",
        choices=("verify", "find", "anchor"),
        help="say where the trail is not as it was written; print lines about one study or request; print an anchor of "
        "each chain",
    )
    options = [
        audit.add_argument("--folder", type=_path, metavar="DIR", help="the trail; default: LUNGSCOPE_AUDIT_DIR"),
        audit.add_argument("--anchors", type=_path, metavar="FILE", help="anchors kept elsewhere, to verify against"),
        audit.add_argument("--key", type=_path, metavar="PEM", help="public key that all anchors must be signed by"),
    ]
    for name, metavar, text in (
        ("accession", "NUMBER", "lines about an accession number"),
        ("study", "UID", "lines about a study"),
        ("series", "UID", "lines about a series"),
        ("instance", "UID", "lines about an instance, or a result"),
        ("request-id", "UUID", "lines about a request"),
        ("image", "FILE", "lines about a file that was sent"),
    ):
        options.append(audit.add_argument(f"--{name}", metavar=metavar, help=f"find: {text}"))
    return options


def _receipt(commands: Any) -> list[argparse.Action]:
    receipt = commands.add_parser("receipt", help="check a receipt, and judge its image again")
    receipt.add_argument("action", choices=("verify",))
    receipt.add_argument("file", type=_path, metavar="FILE", help="an answer in JSON, a receipt, or Lungscope-Receipt")
    return [
        receipt.add_argument("--key", type=_path, required=True, metavar="PEM", help="public key of the service"),
        receipt.add_argument("--image", type=_path, metavar="IMG", help="the slice, zip or folder that was judged"),
    ]


def _jobs(commands: Any) -> list[argparse.Action]:
    jobs = commands.add_parser("jobs", help="see what waits, send it again, drop it, find a case or what was missed")
    jobs.add_argument(
        "action",
        choices=("list", "retry", "drop", "find", "reconcile"),
        help="print what waits, is in quarantine, or was refused; have it sent or judged again, or drop it; find the "
        "series of a study; have fetched what came to the archive of LUNGSCOPE_PULL_URL and has no result",
    )
    jobs.add_argument("ids", nargs="*", metavar="ID", help="retry, drop: as `list` prints them")
    return [
        jobs.add_argument("--folder", type=_path, metavar="DIR", help="default: LUNGSCOPE_SPOOL_DIR"),
        jobs.add_argument("--destination", metavar="NAME", help="list, retry, drop: all that one destination is owed"),
        jobs.add_argument("--accession", metavar="NUMBER", help="find: by accession number"),
        jobs.add_argument("--study", metavar="UID", help="find: by Study Instance UID"),
        jobs.add_argument("--since", type=_moment, metavar="TIME", help="reconcile: studies from 2026-11-30T18:00 on"),
        jobs.add_argument("--until", type=_moment, metavar="TIME", help="reconcile: default: now"),
        jobs.add_argument(
            "--most", type=_whole("studies", 1, 10_000), default=500, metavar="N", help="reconcile: default: 500"
        ),
        jobs.add_argument("--dry-run", action="store_true", help="reconcile: say what is missing, and ask for nothing"),
        jobs.add_argument("--all", action="store_true", help="list, reconcile: also what is given up, or has a result"),
        jobs.add_argument("--json", action="store_true", help="one JSON object a line"),
    ]


def _feedback(commands: Any) -> list[argparse.Action]:
    feedback = commands.add_parser("feedback", help="write verdicts with what was answered, or begin a new reference")
    feedback.add_argument(
        "action",
        choices=("export", "reference"),
        help="write all verdicts to standard output; compare what comes with what comes from today on",
    )
    return [
        feedback.add_argument("--folder", type=_path, metavar="DIR", help="default: LUNGSCOPE_FEEDBACK_DIR"),
        feedback.add_argument(
            "--format", choices=("csv", "jsonl"), default="csv", help="export: a table, or JSON lines"
        ),
    ]


def _ordered(arguments: Sequence[str], valued: Collection[str], names: Collection[str]) -> list[str]:
    """Each value joined to its option (`--window=-300,1400`), and options before paths: argparse takes a value that
    begins with "-" for another option, and does not know a path that comes after a later option."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    joined: list[str] = []
    for argument in arguments[:end]:
        if joined and joined[-1] in valued and argument.partition("=")[0] not in names:
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    if joined and not _is_option(joined[0]):
        without_value = [argument for argument in joined[1:] if argument in valued]
        others = [argument for argument in joined[1:] if argument not in valued]
        joined[1:] = [*sorted(others, key=_is_option, reverse=True), *without_value]
    return [*joined, *arguments[end:]]


def _is_option(argument: str) -> bool:
    return argument.startswith("-") and argument != "-"


def _parameter(name: str) -> Callable[[str], str]:
    """Check a text as the service checks the parameter of that name, except that an empty one is refused."""

    def check(text: str) -> str:
        from app.judgement.parameters import parse_parameters  # NumPy, which `serve` and `--help` start without

        try:
            parse_parameters({name: text if text.strip() else repr(text)})
        except InvalidParameter as error:
            raise argparse.ArgumentTypeError(f"found {text!r}, expected {error.expected}") from None
        return text

    return check


def _whole(what: str, low: int, high: int) -> Callable[[str], int]:
    def check(text: str) -> int:
        digits = text.isascii() and text.isdecimal() and len(text) <= len(str(high))
        if not digits or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"found {text!r}, expected {what} from {low} to {high}")
        return int(text)

    return check


def _moment(text: str) -> datetime:
    """A time of this machine's clock, without a zone."""
    try:
        return datetime.fromisoformat(text).astimezone().replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a time such as 2026-11-30T18:00") from None


def _title(text: str) -> str:
    if not re.fullmatch(TITLE, text):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected an AE title of up to 16 characters")
    return text


def _host(text: str) -> str:
    # The system takes an empty one for every address of the machine.
    if not text.strip():
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a name or address of this machine")
    return text


def _path(text: str) -> Path:
    # pathlib takes an empty one, such as an unset variable's, for the folder it is in.
    if not text:
        raise argparse.ArgumentTypeError("found an empty text, expected a file or folder")
    return Path(text)
