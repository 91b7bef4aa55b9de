"""`lungscope predict`: slices and series from files."""

from __future__ import annotations

import argparse
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tqdm import tqdm

from app.api import schemas
from app.api.answers import answer
from app.api.parameters import KNOWN, PredictParameters, parse_parameters
from app.cli.exits import OK, SOME_FAILED
from app.cli.inputs import Selection, Task, is_same_file
from app.cli.models import verified_registry
from app.cli.results import Outcome, Output, printable
from app.errors import StartupError
from app.imaging.archive import files_of
from app.imaging.chunked import ChunkedFile
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


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Judge what the options name; returns the exit code, and raises StartupError."""
    quiet_decoders()
    parameters = parse_parameters({name: getattr(options, name) for name in KNOWN if getattr(options, name)})
    registry = verified_registry(settings)
    with Output(options.csv, as_json=options.json) as output:
        of_slice = options.roi is not None or options.frame is not None
        kept_out = output.file if output.is_table() else None
        selection = Selection(alone=options.slices, of_slice=of_slice and not options.slices, output=kept_out)
        tasks = list(selection.tasks(options.paths))
        _spare_inputs(tasks, output)
        output.begin()
        registry.load()
        judge = partial(
            _outcome, parameters=parameters, registry=registry, language=options.language, settings=settings
        )
        return _judge_all(tasks, judge, output)


def _spare_inputs(tasks: Sequence[Task], output: Output) -> None:
    """Raise StartupError rather than write over what is to be judged."""
    inputs = {path for task in tasks for path in (task.path, *task.series)}
    if output.file is not None and any(is_same_file(path, output.file) for path in inputs):
        raise StartupError(
            found="one file to be judged and to be written",
            expected="a file of its own for the table",
            remedy="Give another --csv.",
        )


def _judge_all(tasks: Sequence[Task], judge: Callable[[Task], Outcome], output: Output) -> int:
    failed = 0
    for done, task in enumerate(tqdm(tasks, unit="task", disable=len(tasks) < 2, file=sys.stderr)):
        outcome = judge(task)
        if outcome.answer is None:
            failed += 1
            _say(f"{printable(outcome.path)}: {outcome.error_code}: {outcome.error}")
        try:
            output.write(outcome)
        except BrokenPipeError:
            raise
        except OSError as error:
            _say(f"{output.name} cannot be written any more ({error.strerror}): stopped after {done} of {len(tasks)}")
            return SOME_FAILED
    if failed:
        _say(f"{failed} of {len(tasks)} file(s) or series could not be judged")
    return SOME_FAILED if failed else OK


def _say(text: str) -> None:
    tqdm.write(f"lungscope: {text}", file=sys.stderr)


def _outcome(
    task: Task, parameters: PredictParameters, registry: ModelRegistry, language: Language, settings: Settings
) -> Outcome:
    try:
        return Outcome(task.path, _answer(task, parameters, registry, language, settings.max_slices))
    # Whatever it is: one bad file never ends a batch.
    except Exception as error:
        return Outcome.of_error(task.path, error)


def _answer(
    task: Task, parameters: PredictParameters, registry: ModelRegistry, language: Language, max_slices: int
) -> schemas.Answer:
    if task.error is not None:
        raise task.error
    started = time.perf_counter()
    model, detector = registry.model(), registry.detector()
    if task.series:
        prediction, timing = _judge_series(task, parameters, model, detector, max_slices)
    else:
        prediction, timing = _judge_slice(task.path, parameters, model, detector)
    return answer(
        prediction,
        model.bundle,
        detector if parameters.roi_px is None else None,
        request_id=str(uuid.uuid4()),
        language=language,
        explain=parameters.explain,
        timing_ms={**timing, "total": (time.perf_counter() - started) * 1000},
        notes=parameters.notes,
    )


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
            _add(path, builder)
            show("read", done, len(task.series))
        volume = builder.build()
        decode_ms = (time.perf_counter() - started) * 1000
        prediction = diagnose_volume(volume, model, detector, show, lambda: False)
    return prediction, {"decode": decode_ms, **prediction.timing.stages_ms}


def _add(path: Path, builder: SeriesBuilder) -> None:
    for data in files_of(ChunkedFile.at(path)):
        builder.add(data, printable(Path(path.name)))
