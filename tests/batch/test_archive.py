"""What counts in an archive, and in which order it is met."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pytest

from app.batch.archive import Sighting, sighting, sightings, sources_of
from app.batch.batch import look_through
from app.batch.index import Index
from app.errors import StartupError
from phantoms.archive import SHOWN, archived_slice, write_series
from phantoms.slices import enhanced_dicom, functional_group, small
from tests.batch.tables import plan_of

NOWHERE = Path("/nowhere")


def seen_in(folder: Path, kept_out: Path = NOWHERE) -> list[str]:
    return [str(each.path.relative_to(folder)) for each in sightings(folder, kept_out) if each is not None]


def test_files_of_one_series_have_its_name_wherever_they_lie(archive: Path) -> None:
    halves = [each for each in sightings(archive, NOWHERE) if each is not None and "half" in each.path.parent.name]
    assert len(halves) == len(SHOWN)
    assert len({each.series for each in halves}) == 1


def test_what_is_no_ct_image_does_not_count(archive: Path) -> None:
    assert sighting(archive / "notes.txt") is None
    assert sighting(archive / "scout.dcm") is None


def test_a_zip_and_a_multi_frame_image_are_judged_alone(archive: Path, tmp_path: Path) -> None:
    assert sighting(archive / "packed.zip") == Sighting(archive / "packed.zip")
    frames = tmp_path / "frames.dcm"
    spacing = functional_group("PixelMeasuresSequence", PixelSpacing=[7.5, 7.5])
    frames.write_bytes(enhanced_dicom([small(), small()], shared=[spacing]))
    assert sighting(frames) == Sighting(frames)


def test_what_cannot_be_read_says_why(archive: Path, tmp_path: Path) -> None:
    damaged = sighting(archive / "broken.dcm")
    assert damaged is not None
    assert getattr(damaged.error, "code", None) == "malformed_dicom"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "absent"):
        seen = sighting(path)
        assert seen is not None
        assert isinstance(seen.error, OSError)


def test_names_come_in_order_and_neither_hidden_ones_nor_the_results(tmp_path: Path) -> None:
    for name in ("b/2.dcm", "b/10.dcm", "a/1.dcm", "c.dcm", ".hidden.dcm", "out/state/own.dcm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(archived_slice(0, SHOWN[0]))
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    assert seen_in(tmp_path, tmp_path / "out") == ["c.dcm", "a/1.dcm", "b/10.dcm", "b/2.dcm"]


def test_a_walk_keeps_nothing_of_the_archive(tmp_path: Path) -> None:
    """What comes first has been met before the rest is looked for."""
    write_series(tmp_path / "a", 0)
    seen = sightings(tmp_path, NOWHERE)
    first = list(islice(seen, 3))
    (tmp_path / "a" / "7.dcm").unlink()
    assert len(first) == 3
    later = list(seen)
    assert later[-1] is not None
    assert isinstance(later[-1].error, FileNotFoundError)


def test_an_index_names_sources_seen_from_its_folder(archive: Path, tmp_path: Path) -> None:
    index = tmp_path / "index.txt"
    index.write_text(
        f"# two of them\n{os.path.relpath(archive, tmp_path)}/plain 1\n\n{archive / 'packed.zip'}\nabsent\n"
    )
    named = [Path(os.path.normpath(each)) for each in sources_of(index)]
    assert named == [archive / "plain 1", archive / "packed.zip", tmp_path / "absent"]
    with Index(tmp_path / "index.sqlite") as kept:
        look_through(plan_of(index, tmp_path / "out"), kept)
        places = [each.place for each in kept.open_series(10)]
        assert places == [archive / "plain 1", archive / "packed.zip"]
        assert kept.counts() == {None: 2, "unreadable_file": 1}


def test_a_zip_may_be_the_whole_archive(archive: Path) -> None:
    packed = archive / "packed.zip"
    assert list(sources_of(packed)) == [packed]
    assert list(sightings(packed, NOWHERE)) == [Sighting(packed)]


def test_what_can_be_no_archive_is_said(tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.write_bytes(b"\0\1\2")
    with pytest.raises(StartupError, match="neither zip nor DICOM nor text"):
        list(sources_of(odd))
