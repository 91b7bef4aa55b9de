"""Batches come in order and do not depend on who prepares them."""

from __future__ import annotations

import numpy as np
import pytest

from training.data.nodules import Dataset
from training.fitting.batches import BatchSource
from training.fitting.config import Config
from training.fitting.loading import batches_ahead

FIRST, LAST = 3, 7


@pytest.mark.parametrize("processes", [0, 2])
def test_batches_come_in_order_from_where_a_run_goes_on(dataset: Dataset, config: Config, processes: int) -> None:
    source = BatchSource(dataset, config)
    loaded = list(batches_ahead(source, FIRST, LAST, processes))
    assert len(loaded) == LAST - FIRST
    for number, batch in enumerate(loaded, FIRST):
        expected = source(number)
        np.testing.assert_array_equal(batch.hu, expected.hu)
        for name in expected.targets:
            np.testing.assert_array_equal(batch.targets[name], expected.targets[name])
            np.testing.assert_array_equal(batch.weights[name], expected.weights[name])


def test_no_batch_is_prepared_for_a_finished_run(dataset: Dataset, config: Config) -> None:
    assert list(batches_ahead(BatchSource(dataset, config), 2, 2)) == []


def test_no_more_than_one_batch_waits() -> None:
    prepared: list[int] = []
    batches = batches_ahead(prepared.append, 0, 100)
    next(batches)
    batches.close()  # waits for what was asked for
    assert prepared == [0, 1]
