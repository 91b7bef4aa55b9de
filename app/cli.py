"""`lungscope serve | predict | models`."""

from __future__ import annotations

import argparse
import csv
import json
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, TextIO

import uvicorn
from tqdm import tqdm

from app import __version__
from app.api import schemas
from app.api.parameters import KNOWN, PredictParameters, parse_parameters
from app.api.problems import problem_type
from app.errors import InputError, StartupError
from app.imaging.read import quiet_decoders, read_slice
from app.inference.bundle import find_bundle, load_bundle
from app.inference.diagnose import diagnose
from app.inference.model import Model, create_backend
from app.inference.vocabulary import Language
from app.main import create_app
from app.settings import Settings
from app.telemetry import configure_logging

logger = logging.getLogger(__name__)
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
OK, SOME_FAILED, CANNOT_START = 0, 1, 2
CSV_COLUMNS: Final = (
    "path",
    "decision",
    "probability",
    "findings",
    "reasons",
    "quality",
    "error_code",
    "error",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One file: its answer, or the code and text of its error."""

    path: Path
    answer: schemas.Answer | None = None
    error_code: str = ""
    error: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 when some files failed, 2 when nothing could be started."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options, Settings.load())
    except StartupError as error:
        print(f"lungscope: {error}", file=sys.stderr)
        return CANNOT_START
    except BrokenPipeError:
        # Whoever read our output has had enough (`| head`); nothing may be flushed into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOME_FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lungscope", description=f"{schemas.DISCLAIMER}")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="answer over HTTP")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8000)
    serve.set_defaults(run=_serve)

    predict = commands.add_parser("predict", help="judge files and folders of slices")
    predict.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a CT slice, or a folder of them")
    predict.add_argument("--roi", metavar="COLUMN,ROW", help="judge the nodule there, in pixels of the image")
    predict.add_argument("--pixel-spacing-mm", metavar="MM", help="for images that do not state it")
    predict.add_argument("--window", metavar="CENTER,WIDTH", help="HU window of an 8- or 16-bit picture")
    predict.add_argument("--frame", metavar="N", help="frame of a multi-frame image, from 1")
    predict.add_argument("--explain", metavar="BOOL", help="true adds the evidence map to --json")
    predict.add_argument("--language", choices=("en", "zh"), default="en", help="of the words shown")
    output = predict.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="one JSON object a file, one a line, on standard output")
    output.add_argument("--csv", type=Path, metavar="FILE", help="write a table to FILE")
    predict.set_defaults(run=_predict)

    models = commands.add_parser("models", help="verify and describe the bundles")
    models.set_defaults(run=_models)
    return parser


def _serve(options: argparse.Namespace, settings: Settings) -> int:
    configure_logging(settings.log_level)
    if options.host not in LOOPBACK and settings.api_token is None:
        logger.warning("listening on %s without LUNGSCOPE_API_TOKEN: whoever reaches it may use it", options.host)
    failures: list[Exception] = []

    def stop(error: Exception) -> None:
        failures.append(error)
        server.should_exit = True

    config = uvicorn.Config(
        create_app(settings, on_fatal=stop),
        host=options.host,
        port=options.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_seconds,
    )
    server = uvicorn.Server(config)
    # Once drained, uvicorn raises the signal again; with this handler a clean end is exit code 0.
    signal.signal(signal.SIGTERM, _drained)
    signal.signal(signal.SIGINT, _drained)
    server.run()
    if failures:
        print(f"lungscope: {failures[0]}", file=sys.stderr)
        return CANNOT_START
    return OK


def _drained(_signal: int, _frame: FrameType | None) -> None:
    return


def _models(_options: argparse.Namespace, settings: Settings) -> int:
    bundle = load_bundle(find_bundle(settings.models_dir, settings.model))
    manifest = bundle.manifest
    print(f"{manifest.name}/{manifest.version}  {bundle.digest}")
    print(f"  {manifest.description}")
    print(f"  {len(manifest.digests)} files match their digests in {bundle.path}")
    print(f"  operating point {manifest.operating_point.threshold:.3f} ({manifest.operating_point.chosen_for})")
    print(f"  {manifest.performance.protocol}")
    for name, figure in manifest.performance.figures.items():
        print(f"    {name:40s} {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]")
    return OK


def _predict(options: argparse.Namespace, settings: Settings) -> int:
    quiet_decoders()
    texts = {name: getattr(options, name) for name in KNOWN if getattr(options, name) is not None}
    try:
        parameters = parse_parameters(texts)
    except InputError as error:
        print(f"lungscope: {error}", file=sys.stderr)
        return CANNOT_START
    paths = list(_files(options.paths))
    bundle = load_bundle(find_bundle(settings.models_dir, settings.model))
    model = Model.load(bundle, create_backend(settings.backend, settings.threads))
    failed = 0
    with ExitStack() as stack:
        show = _writer(options, stack)
        for path in tqdm(paths, unit="slice", disable=len(paths) < 2, file=sys.stderr):
            outcome = _judge(path, parameters, model, options.language)
            failed += outcome.answer is None
            show(outcome)
    if failed or not paths:
        print(f"lungscope: {failed} of {len(paths)} file(s) could not be judged", file=sys.stderr)
        return SOME_FAILED
    return OK


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files named, and those in folders named; hidden ones in folders are no images."""
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        else:
            yield path


def _judge(path: Path, parameters: PredictParameters, model: Model, language: Language) -> Outcome:
    started = time.perf_counter()
    try:
        ct_slice = read_slice(path.read_bytes(), parameters.options)
        decode_ms = (time.perf_counter() - started) * 1000
        prediction = diagnose(ct_slice, parameters.roi_px, model)
    except InputError as error:
        return Outcome(path, error_code=problem_type(error).code, error=str(error))
    except OSError as error:
        return Outcome(path, error_code="unreadable_file", error=error.strerror or "cannot be read")
    timing = {"decode": decode_ms, "search": prediction.timing.search_ms, "infer": prediction.timing.infer_ms}
    answer = schemas.answer(
        prediction,
        model.bundle,
        request_id=str(uuid.uuid4()),
        language=language,
        explain=parameters.explain,
        timing_ms={**timing, "total": (time.perf_counter() - started) * 1000},
        notes=parameters.notes,
    )
    return Outcome(path, answer)


def _writer(options: argparse.Namespace, stack: ExitStack) -> Callable[[Outcome], None]:
    if options.json:
        return lambda outcome: tqdm.write(_json_line(outcome), file=sys.stdout)
    if options.csv is not None:
        stream: TextIO = stack.enter_context(options.csv.open("w", newline="", encoding="utf-8"))
        table = csv.DictWriter(stream, CSV_COLUMNS)
        table.writeheader()

        def write_row(outcome: Outcome) -> None:
            table.writerow(_csv_row(outcome))

        return write_row
    return lambda outcome: tqdm.write(_text_line(outcome), file=sys.stdout)


def _json_line(outcome: Outcome) -> str:
    if outcome.answer is None:
        return json.dumps({"path": str(outcome.path), "error": {"code": outcome.error_code, "detail": outcome.error}})
    return json.dumps({"path": str(outcome.path), **outcome.answer.model_dump(mode="json")}, ensure_ascii=False)


def _csv_row(outcome: Outcome) -> dict[str, object]:
    row: dict[str, object] = {"path": outcome.path, "error_code": outcome.error_code, "error": outcome.error}
    answer = outcome.answer
    if answer is not None:
        row |= {"decision": answer.decision, "probability": answer.probability, "findings": len(answer.findings)}
        row |= {"reasons": ";".join(answer.reasons), "quality": ";".join(note.code for note in answer.quality)}
    return row


def _text_line(outcome: Outcome) -> str:
    answer = outcome.answer
    if answer is None:
        return f"{outcome.path}: {outcome.error_code}: {outcome.error}"
    probability = "" if answer.probability is None else f" (probability {answer.probability:.3f})"
    details = [f"{len(answer.findings)} finding(s)", *answer.reasons]
    return f"{outcome.path}: {answer.display}{probability}; {', '.join(details)}"
