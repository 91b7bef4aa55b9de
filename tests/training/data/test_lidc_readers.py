"""Every reader's marks: ratings, lesions and votes beside the patches they belong to."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from training.data import lidc_readers
from training.data.datasets import read_dataset
from training.data.nodules import DatasetMalformed, Votes
from training.data.ratings import RATED
from training.fitting.batches import BatchSource
from training.fitting.config import Config

SIDE = 71


def mark(number: int, malignancy: int, trait: int) -> dict[str, object]:
    return {"mark_id": number, **dict.fromkeys(RATED, trait), "malignancy": malignancy}


def write(folder: Path, rows: list[dict[str, object]]) -> None:
    with folder.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def data(generated_data: Path, tmp_path: Path) -> Path:
    """The generated folder with readings: the first nodule by four readers, 12 by five, all others by two."""
    shutil.copytree(generated_data, tmp_path / "data")
    readers = tmp_path / "data" / "lidc-readers"
    readers.mkdir()
    counts = {k: 4 if k == 1 else 5 if k == 12 else 2 for k in range(1, 17)}
    marks = {k: [10 * k + n for n in range(count)] for k, count in counts.items()}
    write(
        readers / "patches.csv",
        [
            {"nodule_id": k, "lesion_id": (k + 1) // 2, "mark_ids": ";".join(map(str, each))}
            for k, each in marks.items()
        ],
    )
    write(readers / "marks.csv", [mark(m, 2 + m % 3, 1 + m % 5) for each in marks.values() for m in each])
    votes = np.zeros((16, SIDE, SIDE), np.uint8)
    votes[:, 30:40, 30:40] = 1
    votes[:, 33:37, 33:37] = 2
    np.savez(
        readers / "outlines.npz",
        consensus_nodule_id=np.arange(1, 17),
        votes=votes,
        readers=np.array(list(counts.values()), np.uint8),
    )
    return tmp_path / "data"


def test_all_ratings_count_and_patches_of_a_lesion_know_it(data: Path) -> None:
    dataset = read_dataset(data)
    first, second, third, *_ = dataset.nodules
    assert first.malignancy == (3, 4, 2, 3)  # marks 10 to 13
    assert first.traits == pytest.approx([(1 + 2 + 3 + 4) / 4] * 7)
    assert first.lesion == second.lesion != third.lesion
    assert [name for name, _ in dataset.digests] == ["lidc-nodules", "lidc-readers", "luna-candidates"]


def test_votes_are_shares_of_the_readers_who_outlined_the_slice(data: Path) -> None:
    votes = read_dataset(data).nodules[1].votes
    assert votes is not None
    assert (votes.share[31, 31], votes.share[35, 35], votes.share[0, 0]) == (0.5, 1.0, 0.0)
    assert votes.consensus.sum() == 100


def test_votes_of_touching_lesions_are_not_believed(data: Path) -> None:
    nodule = read_dataset(data).nodules[11]
    assert nodule.readers == 5
    assert nodule.votes is None
    assert nodule.drawn is not None  # one reader's outline still is
    assert nodule.outline is not None
    np.testing.assert_array_equal(nodule.drawn, nodule.outline)


def test_the_outline_that_is_learned_is_the_readers_share(data: Path, config: Config) -> None:
    plain = config.augment.model_copy(update={"zoom": 0.0, "rotate": 0.0, "jitter_mm": 0.0, "jitter_of_radius": 0.0})
    batch = BatchSource(read_dataset(data), config.model_copy(update={"augment": plain}))(0)
    mask = batch.targets["mask"][:8]
    assert ((mask > 0.4) & (mask < 0.6)).sum() > 700


def test_readings_of_other_nodules_are_refused(data: Path) -> None:
    stored = dict(np.load(data / "lidc-readers" / "outlines.npz"))
    np.savez(
        data / "lidc-readers" / "outlines.npz",
        **{**stored, "consensus_nodule_id": stored["consensus_nodule_id"] + 1},
    )
    with pytest.raises(DatasetMalformed, match="lidc-readers and lidc-nodules of the same nodules"):
        read_dataset(data)


def test_more_votes_than_readers_are_no_votes() -> None:
    with pytest.raises(ValueError, match="3 votes of 2 readers"):
        Votes(np.full((2, 2), 3, np.uint8), 2)


def test_the_shared_table_gains_readers(shared_data: Path) -> None:
    folder, readers = shared_data / "lidc-nodules", shared_data / "lidc-readers"
    with (folder / "nodules.csv").open(newline="") as stream:
        before = {int(row["nodule_id"]): row["malignancy"].count(";") + 1 for row in csv.DictReader(stream)}
    after = lidc_readers.mark_ratings(readers)
    assert sum(before[k] < 3 <= len(ratings) for k, ratings in after.items()) == 109
