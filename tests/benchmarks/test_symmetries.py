"""The mean over a square's symmetries, of a network that looks at one corner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import symmetries
from tests.training.evaluation.hand_made import overlapping
from training.fitting.config import Config, load_config
from training.fitting.train import Logits


@pytest.fixture
def corner(monkeypatch: pytest.MonkeyPatch) -> None:
    """`predict` says of each patch what stands in its first pixel."""

    def predict(_: object, hu: NDArray[np.float32]) -> Logits:
        one = hu[:, 0, 0]
        return Logits(one, one, np.zeros((len(hu), 7), np.float32), hu, hu[:, 0], hu)

    monkeypatch.setattr(symmetries, "predict", predict)


@pytest.mark.usefixtures("corner")
def test_every_corner_is_seen_twice() -> None:
    hu = np.zeros((2, 4, 4), np.float32)
    hu[1, [0, 0, -1, -1], [0, -1, 0, -1]] = (1, 2, 3, 6)
    assert symmetries.mean_logits(None, hu).tolist() == [0.0, 3.0]


def test_all_eight_are_different() -> None:
    hu = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    assert len({symmetries.turned(hu, k).tobytes() for k in range(symmetries.SYMMETRIES)}) == symmetries.SYMMETRIES


def test_the_same_logits_gain_nothing_and_better_ones_do(config: Config) -> None:
    alone = overlapping(400)
    same = symmetries.compare(alone, alone.malignancy, config)
    assert (same["auc_gain"].value, same["size_matched_gain"].high) == (0.0, 0.0)
    better = symmetries.compare(alone, alone.malignancy + 2 * alone.suspicious, config)
    assert better["auc_gain"].low > 0
    assert "| AUC |" in symmetries.table_of(better)


@pytest.fixture
def config() -> Config:
    return load_config(Path("training/configs/tiny.toml"))
