"""What must hold before a bundle is written: weights and figures of one recipe and data, and a place that is free."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.errors import BundleError
from app.inference.bundle import MANIFEST_FILE
from app.inference.lineage import Lineage
from training.evaluation.results import Evaluation, recipe_of
from training.fitting.artefacts import Run
from training.fitting.identity import differences

SHOWN: Final = 4  # differences that an error names
UNKNOWN_RECIPE: Final = (
    "Run scripts/evaluate.py --config … with the configuration of the weights into the same folder: finished folds are "
    "used as they are."
)
EVALUATE_OR_TRAIN: Final = "Evaluate the configuration that was trained, or train the one that was evaluated."


def require_same(run: Run, evaluation: Evaluation) -> None:
    """Raise BundleError unless `evaluation` is the cross-validation of the recipe and data of `run`."""
    expected = f"the cross-validation of {run.config.name}, whose weights are to be exported"
    if not evaluation.recipe:
        raise BundleError(
            found=f"figures of {evaluation.config} that do not say of which settings they are: of a bundle, or of an "
            "earlier version",
            expected=expected,
            remedy=UNKNOWN_RECIPE,
        )
    if found := differences(dict(evaluation.recipe), recipe_of(run.config)):
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise BundleError(
            found="figures of another configuration (there: evaluated, here: trained): "
            f"{'; '.join(found[:SHOWN])}{more}",
            expected=expected,
            remedy=EVALUATE_OR_TRAIN,
        )
    if found := differences(dict(evaluation.data), dict(run.data)):
        raise BundleError(
            found=f"figures on other data (there: evaluated, here: trained): {'; '.join(found[:SHOWN])}",
            expected=expected,
            remedy="Give evaluate.py and train.py the same --data.",
        )


def require_free(folder: Path, *, force: bool) -> None:
    """Raise BundleError when something is in `folder`, unless it is a bundle and is to be replaced."""
    if not folder.exists():
        return
    if force and (folder / MANIFEST_FILE).is_file():
        return
    bundle = (folder / MANIFEST_FILE).is_file()
    remedy = f"Export as {folder.parent.name}/{_next(folder)}, or give --force to replace it for good."
    raise BundleError(
        found=f"{folder}, which is there already{'' if bundle else ' and is no bundle'}",
        expected="a version that is not there yet",
        remedy=remedy if bundle else "Give another --out: nothing but a bundle is ever replaced.",
    )


@contextmanager
def written_beside(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of `folder` at the end; an error leaves what is there."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def lineage_of(run: Run, evaluation: Evaluation) -> Lineage:
    """The lineage of a bundle of these weights and figures."""
    return Lineage(
        recipe=run.config.name, run=_digest(run.text), evaluation=_digest(evaluation.text), data=dict(run.data)
    )


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _next(folder: Path) -> int:
    return max((int(p.name) for p in folder.parent.glob("*") if p.name.isdecimal()), default=0) + 1
