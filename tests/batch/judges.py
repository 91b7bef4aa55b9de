"""Judges for the workers of a batch, which find them by name: arithmetic, and such as end processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from app.errors import DecoderUnavailable
from app.imaging.read import quiet_decoders
from app.inference.registry import ModelRegistry
from app.judgement.judge import Judge, Judgement
from app.settings import Settings
from app.telemetry import Metrics
from tests.fakes import NAMES, arithmetic_backends

MAX_SLICES = 100


def arithmetic_judge(models: Path, kind: type[Judge] = Judge) -> Judge:
    quiet_decoders()
    registry = ModelRegistry.verified(models, NAMES, arithmetic_backends())
    registry.load()
    return kind(registry, Metrics(), MAX_SLICES)


@contextmanager
def arithmetic(models: Path) -> Iterator[Judge]:
    yield arithmetic_judge(models)


def of_settings(settings: Settings) -> AbstractContextManager[Judge]:
    return arithmetic(settings.models_dir)


@contextmanager
def deadly(models: Path) -> Iterator[Judge]:
    """Ends with its process at a series whose files say so."""
    yield arithmetic_judge(models, _Deadly)


@contextmanager
def ending_parent(models: Path, place: str) -> Iterator[Judge]:
    """Kills the process that started it when it gets the series in the folder of this name."""
    judge = arithmetic_judge(models, _EndingParent)
    assert isinstance(judge, _EndingParent)
    judge.place = place
    yield judge


@contextmanager
def unloadable(_models: Path) -> Iterator[Judge]:
    os._exit(3)
    yield  # type: ignore[unreachable]  # a context manager, though it gets nowhere


class _Deadly(Judge):
    def files(self, paths: Sequence[Path], *rest: Any, **more: Any) -> Judgement:
        if paths[0].parent.name == "kills":
            os.kill(os.getpid(), signal.SIGKILL)
        if paths[0].parent.name == "no decoder":
            raise DecoderUnavailable(found="none", expected="one", remedy="Wait.")
        return super().files(paths, *rest, **more)


class _EndingParent(Judge):
    place = ""

    def files(self, paths: Sequence[Path], *rest: Any, **more: Any) -> Judgement:
        if paths[0].parent.name == self.place:
            os.kill(os.getppid(), signal.SIGKILL)
        return super().files(paths, *rest, **more)
