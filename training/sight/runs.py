"""The networks of a run: one for each fold, which saw none of it, and the one that is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final  # keras is untyped

import keras

from training.sight.fit import train
from training.sight.views import FOLDS, development_views

SHIPPED: Final = "shipped"
NAMES: Final = (*(f"fold{fold}" for fold in FOLDS), SHIPPED)


def train_all(data: Path, out: Path) -> None:
    """Train the networks that `out` does not hold yet."""
    views = development_views(data)
    out.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        if not (out / f"{name}.keras").exists():
            seen = [view for view in views if name == SHIPPED or view.fold != int(name.removeprefix("fold"))]
            train(seen, name).save(out / f"{name}.keras")


def trained(out: Path, name: str) -> Any:
    """One of NAMES."""
    return keras.models.load_model(out / f"{name}.keras")
