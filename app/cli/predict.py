"""`lungscope predict`: slices and series from files."""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TextIO

from tqdm import tqdm

from app.api import schemas
from app.api.answers import answer
from app.api.parameters import KNOWN, PredictParameters, parse_parameters
from app.api.problems import problem_type
from app.cli.exits import CANNOT_START, OK, SOME_FAILED
from app.cli.models import verified_registry
from app.errors import InputError
from app.imaging.archive import files_of, is_zip
from app.imaging.chunked import ChunkedFile
from app.imaging.dicom import DicomImage
from app.imaging.read import quiet_decoders, read_slice
from app.imaging.series import SeriesBuilder, SeriesLimits
from app.inference.detector import Detector
from app.inference.diagnose import diagnose
from app.inference.model import Model
from app.inference.prediction import Prediction
from app.inference.registry import ModelRegistry
from app.inference.series import diagnose_volume
from app.inference.vocabulary import Language
from app.settings import Settings

CSV_COLUMNS: Final = (
    "path",
    "decision",
    "probability",
    "findings",
    "reasons",
    "quality",
    "error_code",
    "error",
    "slices",
    "series_instance_uid",
)


@dataclass(frozen=True, slots=True)
class Task:
    """What is judged at once: one file alone, or the files of one series, named by `path`."""

    path: Path
    series: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """One file or series: its answer, or the code and text of its error."""

    path: Path
    answer: schemas.Answer | None = None
    error_code: str = ""
    error: str = ""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Judge what the options name; returns the exit code, and raises StartupError."""
    quiet_decoders()
    texts = {name: getattr(options, name) for name in KNOWN if getattr(options, name) is not None}
    try:
        parameters = parse_parameters(texts)
    except InputError as error:
        print(f"lungscope: {error}", file=sys.stderr)
        return CANNOT_START
    alone = options.slices or options.roi is not None or options.frame is not None
    tasks = list(_tasks(options.paths, alone=alone))
    registry = verified_registry(settings)
    registry.load()
    judge = partial(_outcome, parameters=parameters, registry=registry, language=options.language, settings=settings)
    failed = 0
    with ExitStack() as stack:
        show = _writer(options, stack)
        for task in tqdm(tasks, unit="task", disable=len(tasks) < 2, file=sys.stderr):
            outcome = judge(task)
            failed += outcome.answer is None
            show(outcome)
    if failed or not tasks:
        print(f"lungscope: {failed} of {len(tasks)} file(s) or series could not be judged", file=sys.stderr)
        return SOME_FAILED
    return OK


def _tasks(paths: Sequence[Path], *, alone: bool) -> Iterator[Task]:
    """The files named, and what folders named hold: their series, or where there is none every file alone.

    Beside a series whatever belongs to none is left out and counted: reports, scout views, notes.
    """
    for path in paths:
        if not path.is_dir():
            yield Task(path, (path,) if not alone and _holds_series(path, _image(path)) else ())
            continue
        files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        series = (
            [] if alone else list(_series_of(tqdm(files, unit="file", desc="looking", file=sys.stderr, leave=False)))
        )
        yield from series or map(Task, files)
        if left := len(files) - sum(len(task.series) for task in series) if series else 0:
            print(f"lungscope: {left} file(s) under {path} belong to no series and were left out", file=sys.stderr)


def _series_of(files: Iterable[Path]) -> Iterator[Task]:
    """The series of more than one slice among some files, each named by the folder that holds all of it."""
    files_of: dict[str, list[Path]] = {}
    for path in files:
        image = _image(path)
        if _holds_series(path, image):
            yield Task(path, (path,))
        elif image is not None and not image.is_localizer(1) and image.series_instance_uid is not None:
            files_of.setdefault(image.series_instance_uid, []).append(path)
    for members in files_of.values():
        if len(members) > 1:
            yield Task(Path(os.path.commonpath([member.parent for member in members])), tuple(members))


def _image(path: Path) -> DicomImage | None:
    """The CT image in a file, its header only; None for anything else."""
    try:
        return DicomImage.parse(path.read_bytes())
    except (InputError, OSError):
        return None


def _holds_series(path: Path, image: DicomImage | None) -> bool:
    """Whether one file is a whole series: a zip, or a multi-frame image."""
    if image is not None:
        return image.frames > 1
    try:
        with path.open("rb") as stream:
            return is_zip(stream.read(4))
    except OSError:
        return False


def _outcome(
    task: Task, parameters: PredictParameters, registry: ModelRegistry, language: Language, settings: Settings
) -> Outcome:
    started = time.perf_counter()
    model, detector = registry.model(), registry.detector()
    try:
        if task.series:
            prediction, timing = _judge_series(task, parameters, model, detector, settings.max_slices)
        else:
            prediction, timing = _judge_slice(task.path, parameters, model, detector)
    except InputError as error:
        return Outcome(task.path, error_code=problem_type(error).code, error=str(error))
    except OSError as error:
        return Outcome(task.path, error_code="unreadable_file", error=error.strerror or "cannot be read")
    written = answer(
        prediction,
        model.bundle,
        detector if parameters.roi_px is None else None,
        request_id=str(uuid.uuid4()),
        language=language,
        explain=parameters.explain,
        timing_ms={**timing, "total": (time.perf_counter() - started) * 1000},
        notes=parameters.notes,
    )
    return Outcome(task.path, written)


def _judge_slice(
    path: Path, parameters: PredictParameters, model: Model, detector: Detector
) -> tuple[Prediction, dict[str, float]]:
    started = time.perf_counter()
    ct_slice = read_slice(path.read_bytes(), parameters.options)
    decode_ms = (time.perf_counter() - started) * 1000
    prediction = diagnose(ct_slice, parameters.roi_px, model, detector)
    timing = {"decode": decode_ms, "search": prediction.timing.search_ms, "infer": prediction.timing.infer_ms}
    return prediction, timing


def _judge_series(
    task: Task, parameters: PredictParameters, model: Model, detector: Detector, max_slices: int
) -> tuple[Prediction, dict[str, float]]:
    started = time.perf_counter()
    with tqdm(desc="read", unit="step", file=sys.stderr, leave=False) as bar:

        def show(stage: str, done: int, of: int) -> None:
            if stage != bar.desc.rstrip(": "):
                bar.set_description(stage)
                bar.reset(of)
            bar.update(done - bar.n)

        builder = SeriesBuilder(SeriesLimits(max_slices=max_slices), parameters.options)
        for done, path in enumerate(task.series, start=1):
            for data in files_of(ChunkedFile.at(path)):
                builder.add(data)
            show("read", done, len(task.series))
        volume = builder.build()
        decode_ms = (time.perf_counter() - started) * 1000
        prediction = diagnose_volume(volume, model, detector, show, lambda: False)
    return prediction, {"decode": decode_ms, **prediction.timing.stages_ms}


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
    return json.dumps({"path": str(outcome.path), **outcome.answer}, ensure_ascii=False)


def _csv_row(outcome: Outcome) -> dict[str, object]:
    row: dict[str, object] = {"path": outcome.path, "error_code": outcome.error_code, "error": outcome.error}
    answer = outcome.answer
    if answer is not None:
        row |= {"decision": answer["decision"], "probability": answer["probability"]}
        row |= {"findings": len(answer["findings"]), "reasons": ";".join(answer["reasons"])}
        row |= {"quality": ";".join(note["code"] for note in answer["quality"])}
        if "series" in answer["source"]:
            series = answer["source"]["series"]
            row |= {"slices": series["slices"], "series_instance_uid": series["series_instance_uid"]}
    return row


def _text_line(outcome: Outcome) -> str:
    answer = outcome.answer
    if answer is None:
        return f"{outcome.path}: {outcome.error_code}: {outcome.error}"
    probability = "" if answer["probability"] is None else f" (probability {answer['probability']:.3f})"
    details = [f"{len(answer['findings'])} finding(s)", *answer["reasons"]]
    series = answer["source"].get("series")
    what = outcome.path if series is None else f"{outcome.path} ({series['slices']} slices)"
    return f"{what}: {answer['display']}{probability}; {', '.join(details)}"
