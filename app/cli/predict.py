"""`lungscope predict`: slices and series from files."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tqdm import tqdm

from app.cell.cells import CellLimits, decoder_of
from app.cli.cases import CaseFolder
from app.cli.exits import OK, SOME_FAILED
from app.cli.inputs import Selection, Task, is_same_file
from app.cli.models import verified_registry
from app.cli.results import Outcome, Output, printable
from app.errors import StartupError
from app.imaging.read import quiet_decoders
from app.inference.vocabulary import Language
from app.judgement.answers import answer
from app.judgement.case_files import case_files
from app.judgement.finding_rows import finding_rows
from app.judgement.judge import Judge, Judgement
from app.judgement.parameters import CONTEXT, OF_COMMAND, Parameters, parse_parameters
from app.settings import MEGABYTE, Settings
from app.telemetry import Metrics


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Judge what the options name; returns the exit code, and raises StartupError."""
    quiet_decoders()
    given = {name: getattr(options, name) for name in (*OF_COMMAND, CONTEXT)}
    parameters = parse_parameters({name: text for name, text in given.items() if text})
    registry = verified_registry(settings)
    with ExitStack() as stack:
        output = stack.enter_context(Output(options.csv, as_json=options.json))
        of_slice = options.roi is not None or options.frame is not None
        kept_out = output.file if output.is_table() else None
        selection = Selection(alone=options.slices, of_slice=of_slice and not options.slices, output=kept_out)
        tasks = list(selection.tasks(options.paths))
        _spare_inputs(tasks, output)
        output.begin()
        folder = None if options.out is None else stack.enter_context(CaseFolder(options.out))
        limits = CellLimits(settings.decoder_mb * MEGABYTE, settings.decoder_seconds)
        # In cells here too: a file at which a decoder crashes is one that failed, and the others are judged.
        with decoder_of(settings.decoding, limits) as decoder:
            decoder.launch()
            registry.load()
            judge = Judge(registry, Metrics(), settings.max_slices, decoder=decoder)
            outcome_of = partial(
                _outcome, parameters=parameters, judge=judge, language=options.language, in_full=folder is not None
            )
            return _judge_all(tasks, outcome_of, [output] if folder is None else [output, folder])


def _spare_inputs(tasks: Sequence[Task], output: Output) -> None:
    """Raise StartupError rather than write over what is to be judged."""
    inputs = {path for task in tasks for path in (task.path, *task.series)}
    if output.file is not None and any(is_same_file(path, output.file) for path in inputs):
        raise StartupError(
            found="one file to be judged and to be written",
            expected="a file of its own for the table",
            remedy="Give another --csv.",
        )


def _judge_all(tasks: Sequence[Task], judge: Callable[[Task], Outcome], outputs: Sequence[Output | CaseFolder]) -> int:
    failed = 0
    for done, task in enumerate(tqdm(tasks, unit="task", disable=len(tasks) < 2, file=sys.stderr)):
        outcome = judge(task)
        if outcome.answer is None:
            failed += 1
            _say(f"{printable(outcome.path)}: {outcome.error_code}: {outcome.error}")
        for output in outputs:
            try:
                output.write(outcome)
            except BrokenPipeError:
                raise
            except OSError as error:
                why = f"{output.name} cannot be written any more ({error.strerror})"
                _say(f"{why}: stopped after {done} of {len(tasks)}")
                return SOME_FAILED
    if failed:
        _say(f"{failed} of {len(tasks)} file(s) or series could not be judged")
    return SOME_FAILED if failed else OK


def _say(text: str) -> None:
    tqdm.write(f"lungscope: {text}", file=sys.stderr)


def _outcome(task: Task, parameters: Parameters, judge: Judge, language: Language, *, in_full: bool) -> Outcome:
    try:
        if task.error is not None:
            raise task.error
        if task.series:
            judgement = _judge_series(task, parameters, judge)
        else:
            judgement = judge.slice(task.path.read_bytes(), parameters)
        written = answer(judgement, language, str(uuid.uuid4()))
        if not in_full:
            return Outcome(task.path, written)
        return Outcome(task.path, written, files=case_files(judgement, language), rows=finding_rows(written))
    # Whatever it is: one bad file never ends a batch.
    except Exception as error:
        return Outcome.of_error(task.path, error)


def _judge_series(task: Task, parameters: Parameters, judge: Judge) -> Judgement:
    with tqdm(desc="read", unit="step", file=sys.stderr, leave=False) as bar:

        def show(stage: str, done: int, of: int) -> None:
            if stage != bar.desc.rstrip(": "):
                bar.set_description(stage)
                bar.reset(of)
            bar.update(done - bar.n)

        return judge.files(task.series, parameters, show, lambda: False, name=lambda path: printable(Path(path.name)))
