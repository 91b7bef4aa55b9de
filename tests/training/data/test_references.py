"""What is known of nodules beside the data set, and which of it can be trusted."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from training.data.lidc_readers import MAX_READERS, ON_ANOTHER_SLICE, reader_outlines
from training.data.ratings import RATED
from training.data.references import READERS_FOLDER, read_references

ELSEWHERE = min(ON_ANOTHER_SLICE)


def write_readers(folder: Path, marks_of: dict[int, int]) -> Path:
    """Nodules with so many marks each, every mark a row lower than the one before."""
    folder.mkdir(parents=True)
    marks = [(nodule, f"{nodule}{k}") for nodule, count in marks_of.items() for k in range(count)]
    with (folder / "marks.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("mark_id", *RATED))
        writer.writerows((mark, *range(1, 9)) for _, mark in marks)
    with (folder / "patches.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("nodule_id", "lesion_id", "mark_ids"))
        for nodule in marks_of:
            writer.writerow((nodule, nodule, ";".join(mark for owner, mark in marks if owner == nodule)))
    masks = np.zeros((len(marks), 9, 9), np.bool_)
    for place, (_, mark) in enumerate(marks):
        masks[place, int(mark[-1])] = True
    np.savez(
        folder / "outlines.npz",
        nodule_id=np.array([nodule for nodule, _ in marks]),
        outline=np.packbits(masks.reshape(len(marks), -1), axis=1),
        votes=np.zeros((len(marks_of), 9, 9), np.uint8),
    )
    return folder


def test_outlines_are_of_who_drew_them_on_the_same_slice(tmp_path: Path) -> None:
    folder = write_readers(tmp_path / "readers", {7: 3, 8: 1, ELSEWHERE: 4, 9: MAX_READERS + 1, 10: MAX_READERS})
    found = reader_outlines(folder)
    assert sorted(found) == [7, 10]  # one reader has nobody to agree with; the others' marks are not one lesion's
    assert [np.flatnonzero(mask.any(axis=1)).tolist() for mask in found[7]] == [[0], [1], [2]]


def test_everything_is_read_where_it_is_and_nothing_where_it_is_not(tmp_path: Path) -> None:
    nothing = read_references(tmp_path)
    assert (nothing.ratings, nothing.outlines, nothing.diagnoses) == ({}, {}, {})
    write_readers(tmp_path / READERS_FOLDER, {7: 3})
    found = read_references(tmp_path)
    assert found.ratings[7].tolist() == [list(range(1, 9))] * 3
    assert found.outlines[7].shape == (3, 9, 9)
