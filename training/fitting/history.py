"""The log of a run: losses, learning rate and speed of every step, as CSV while it runs and as curves at its end."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import matplotlib
import numpy as np

Row = dict[str, float]
History = list[Row]

LOG_FILE = "losses.csv"
CURVES_FILE = "losses.png"
LEARNING_RATE, SPEED = "learning_rate", "images_per_s"
TOTAL_LOSS = "loss"
SMOOTHING_STEPS = 20


class StepLog:
    """Writes one line per step: its number from 0, then the row's values."""

    def __init__(self, stream: TextIO | None, history: Sequence[Row]) -> None:
        self._stream, self._step = stream, 0
        for row in history:
            self.add(row)

    def add(self, row: Row) -> None:
        """Append the next step; readable at once."""
        if self._stream is not None:
            if self._step == 0:
                self._stream.write(",".join(["step", *row]) + "\n")
            self._stream.write(",".join([str(self._step), *(f"{value:.6g}" for value in row.values())]) + "\n")
            self._stream.flush()
        self._step += 1


@contextmanager
def step_log(folder: Path | None, history: Sequence[Row]) -> Iterator[StepLog]:
    """`losses.csv` in `folder`, rewritten up to the last checkpoint's step; no file without a folder."""
    if folder is None:
        yield StepLog(None, ())
        return
    with (folder / LOG_FILE).open("w", encoding="utf-8") as stream:
        yield StepLog(stream, history)


def write_log(folder: Path, history: Sequence[Row]) -> None:
    """The whole of `losses.csv`."""
    with step_log(folder, history):
        pass


def read_log(path: Path) -> History:
    """The steps in a `losses.csv`, without their numbers."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [{name: float(value) for name, value in row.items() if name != "step"} for row in csv.DictReader(stream)]


def losses_of(history: Sequence[Row]) -> tuple[str, ...]:
    """Names of the columns that are losses."""
    return tuple(name for name in history[0] if name not in (LEARNING_RATE, SPEED))


def learning_summary(history: Sequence[Row]) -> dict[str, float]:
    """Mean losses of the last tenth of a run."""
    tail = history[-max(1, math.ceil(len(history) / 10)) :]
    return {name: float(np.mean([row[name] for row in tail])) for name in losses_of(history)}


def draw_curves(folder: Path, history: Sequence[Row]) -> None:
    """Running means of the losses, and the learning rate below, as `losses.png`."""
    matplotlib.use("Agg")
    from matplotlib import pyplot  # after the backend is chosen: a server has no display

    figure, (losses, rate) = pyplot.subplots(2, 1, figsize=(7, 5), sharex=True, height_ratios=(4, 1))
    width = min(SMOOTHING_STEPS, len(history))
    steps = np.arange(width - 1, len(history))
    for name in losses_of(history):
        losses.plot(steps, np.convolve([row[name] for row in history], np.ones(width) / width, "valid"), label=name)
    losses.set(ylabel=f"loss, mean of {width} steps", yscale="log")
    losses.legend()
    rate.plot([row[LEARNING_RATE] for row in history])
    rate.set(xlabel="step", ylabel="learning rate")
    figure.savefig(folder / CURVES_FILE, dpi=120, bbox_inches="tight")
    pyplot.close(figure)
