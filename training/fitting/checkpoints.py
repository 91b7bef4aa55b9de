"""A run's state on disk, so that a killed run goes on and ends with the weights it would have had."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # keras is untyped

import numpy as np
from numpy.typing import NDArray

from app.errors import InputError
from training.fitting.averaging import WeightAverage
from training.fitting.history import History
from training.fitting.identity import Facts, differences

CHECKPOINT_FILE = "checkpoint.npz"


class OtherRun(InputError):
    """The folder holds a run of another recipe, other data or other code."""


def write_whole(path: Path, arrays: dict[str, NDArray[Any]], facts: Facts) -> None:
    """Write an .npz; a kill at any moment leaves the old file or the new one, never half of one."""
    part, stored = path.with_suffix(".part"), {**arrays, "facts": np.array(json.dumps(facts))}
    with part.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **stored)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def facts_in(stored: Mapping[str, NDArray[Any]]) -> Facts:
    """The facts that `write_whole` was given; none where it was not `write_whole` that wrote the file."""
    return {str(k): str(v) for k, v in json.loads(str(stored["facts"])).items()} if "facts" in stored else {}


@dataclass(frozen=True, slots=True, eq=False)
class TrainingState:
    """All that changes from step to step. `network` holds weights, batch-norm statistics and dropout's seeds."""

    network: Any
    optimiser: Any  # built: its variables exist
    average: WeightAverage

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copies of every value, by kind and place."""
        live = {f"{kind}.{k}": np.array(variable.numpy()) for kind, k, variable in self._variables()}
        return live | {f"average.{k}": value for k, value in enumerate(self.average.values)}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what `arrays` of the same network gave."""
        for kind, k, variable in self._variables():
            variable.assign(arrays[f"{kind}.{k}"])
        self.average.values[:] = [arrays[f"average.{k}"] for k in range(len(self.average.values))]

    def _variables(self) -> Iterator[tuple[str, int, Any]]:
        yield from (("network", k, v) for k, v in enumerate(self.network.variables))
        yield from (("optimiser", k, v) for k, v in enumerate(self.optimiser.variables))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file in a run's folder, of the run that `facts` identify; runs that share a folder have a `name` each."""

    folder: Path
    facts: Facts
    name: str = CHECKPOINT_FILE

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.folder / self.name

    def save(self, state: TrainingState, history: History) -> None:
        """Write state and history."""
        names = list(history[0])
        table = np.array([[row[name] for name in names] for row in history])
        write_whole(self.path, {"names": np.array(names), "history": table} | state.arrays(), self.facts)

    def restore(self, state: TrainingState) -> History:
        """Bring `state` to where the run stopped and return its steps so far, none where no checkpoint is.

        Raises OtherRun naming what differs when the checkpoint belongs to another run.
        """
        if not self.path.is_file():
            return []
        with np.load(self.path) as stored:
            self._require_same(facts_in(stored))
            state.restore(dict(stored))
            names = [str(name) for name in stored["names"]]
            return [dict(zip(names, map(float, row), strict=True)) for row in stored["history"]]

    def discard(self) -> None:
        """Forget the run: the next one starts from the beginning."""
        self.path.unlink(missing_ok=True)

    def _require_same(self, there: Facts) -> None:
        if found := differences(there, self.facts):
            raise OtherRun(
                found=f"a run in {self.path} that differs in {'; '.join(found)}",
                expected="none, or one of the same configuration, data, code and backend",
                remedy="Give another --out, or --restart to discard that run.",
            )
