"""Files out of a zip in memory: all of them, none beyond the bounds, and the archive shrinks on the way."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ArchiveTooLarge, InputError, MalformedArchive, UnsupportedArchive
from app.imaging.archive import ArchiveLimits, archive_files, is_zip
from app.imaging.chunked import LARGE_BYTES, ChunkedFile, piece_of
from app.imaging.decoder import files_of
from tests.imaging.refusals import assert_explains
from tests.imaging.series_files import built, series_files, slice_file, zipped
from tests.imaging.test_damaged_files import changes, damaged

FILES: Final = {f"folder/{name}.dcm": bytes([number]) * 3000 for number, name in enumerate("abc")}
SECRET: Final = "Secret^Name"
bounded = settings(derandomize=True, deadline=None, max_examples=100)


def written(data: bytes, block_bytes: int = 1000, piece: int = 700) -> ChunkedFile:
    return ChunkedFile((data[start : start + piece] for start in range(0, len(data), piece)), block_bytes)


def test_a_file_is_known_by_its_content_and_comes_in_blocks_where_it_is_large() -> None:
    assert list(files_of(written(zipped(FILES)))) == [*FILES.values()]
    small, large = ChunkedFile([b"PK\x03"]), ChunkedFile([bytes(LARGE_BYTES), b"x"])
    assert list(files_of(small)) == [b"PK\x03"]
    assert list(files_of(large)) == [large]


def unpacked(data: bytes, limits: ArchiveLimits | None = None) -> list[bytes]:
    """The files; raises the error that comes in place of one."""
    files = []
    for file in archive_files(written(data), limits):
        if isinstance(file, InputError):
            raise file
        files.append(bytes(piece_of(file, 0, len(file))))
    return files


def refused(data: bytes, error: type[InputError], limits: ArchiveLimits | None = None) -> str:
    with pytest.raises(error) as caught:
        unpacked(data, limits)
    assert caught.type is error
    assert_explains(caught.value)
    assert SECRET not in str(caught.value)
    return caught.value.found


def bomb(size: int) -> bytes:
    return zipped({SECRET: b"\0" * size})


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("block_bytes", [64, 1000, 1 << 20])
def test_every_file_comes_once_and_folders_are_flattened(method: int, block_bytes: int) -> None:
    data = zipped({"folder/": b"", **FILES, "empty": b""}, method)
    assert list(archive_files(written(data, block_bytes))) == [*FILES.values(), b""]


def test_a_zip_of_a_series_gives_its_volume() -> None:
    files = series_files(5)
    data = zipped({"DICOMDIR": b"no image", "study/": b"", **{f"study/{n}": f for n, f in enumerate(files)}})
    volume = built(unpacked(data))
    assert len(volume) == 5
    assert [note.code for note in volume.notes] == ["files_left_out"]


def test_zips_are_known_by_their_beginning() -> None:
    assert is_zip(zipped(FILES))
    assert is_zip(zipped({}))
    assert not is_zip(series_files(1)[0])


@pytest.mark.parametrize("magic", [b"PK\3\4", b"PK\5\6", b"PK\7\x08", b"II*\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_a_dicom_file_is_one_whatever_its_preamble(magic: bytes) -> None:
    file = magic + slice_file(0)[len(magic) :]
    assert not is_zip(file)
    assert list(files_of(written(file))) == [file]
    assert len(built([magic + data[len(magic) :] for data in series_files(4)])) == 4


def test_an_empty_archive_has_no_files() -> None:
    assert unpacked(zipped({})) == []


def test_order_is_that_of_the_bytes_not_of_the_directory() -> None:
    data = zipped(FILES, zipfile.ZIP_STORED)
    start = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    entry = (end - start) // 3
    entries = [data[start + n * entry : start + (n + 1) * entry] for n in range(3)]
    turned = data[:start] + b"".join(reversed(entries)) + data[end:]
    assert unpacked(turned) == list(FILES.values())


class TestRefusals:
    def test_encrypted(self) -> None:
        data = bytearray(zipped({SECRET: b"x" * 100}))
        data[6] |= 1
        data[data.index(b"PK\1\2") + 8] |= 1
        assert refused(bytes(data), UnsupportedArchive) == "an encrypted archive"

    @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_other_methods(self, method: int) -> None:
        assert f"method {method}" in refused(zipped({SECRET: b"x" * 100}, method), UnsupportedArchive)

    def test_archive_in_the_archive(self) -> None:
        assert refused(zipped({"a": b"", SECRET: zipped(FILES)}), UnsupportedArchive).endswith("(file 2)")

    @pytest.mark.parametrize("cut", [1, 30, 500])
    def test_cut_short(self, cut: int) -> None:
        refused(zipped(FILES, zipfile.ZIP_STORED)[:-cut], MalformedArchive)

    def test_no_archive(self) -> None:
        refused(b"PK\3\4 and nothing more", MalformedArchive)
        refused(b"", MalformedArchive)

    def test_a_changed_byte_breaks_the_checksum(self) -> None:
        data = bytearray(zipped(FILES, zipfile.ZIP_STORED))
        data[1000] ^= 1
        refused(bytes(data), MalformedArchive)

    def test_too_many_files(self) -> None:
        limits = ArchiveLimits(max_files=2)
        assert refused(zipped(FILES), ArchiveTooLarge, limits) == "3 files in the archive, of 2 at most"
        assert len(unpacked(zipped(FILES), ArchiveLimits(max_files=3))) == 3

    def test_a_directory_too_long_to_read_is_never_read(self) -> None:
        names = {f"{number:05d}" + "n" * 1000: b"" for number in range(2200)}
        assert "directory" in refused(zipped(names), ArchiveTooLarge)

    def test_one_file_too_large(self) -> None:
        refused(zipped(FILES), ArchiveTooLarge, ArchiveLimits(max_file_bytes=2999))

    def test_all_files_too_large(self) -> None:
        refused(zipped(FILES), ArchiveTooLarge, ArchiveLimits(max_total_bytes=8999))
        assert len(unpacked(zipped(FILES), ArchiveLimits(max_total_bytes=9000))) == 3

    def test_a_bomb_is_stopped_by_its_ratio(self) -> None:
        assert refused(bomb(40 << 20), ArchiveTooLarge) == "an archive that inflates to more than 16 MB"

    def test_many_small_bombs_are_one(self) -> None:
        data = zipped({f"{SECRET} {n}": b"\0" * (4 << 20) for n in range(5)})
        refused(data, ArchiveTooLarge)

    @pytest.mark.parametrize("claimed", [0, 10, 0xFFFFFFFE])
    def test_sizes_are_counted_not_believed(self, claimed: int) -> None:
        data = bytearray(bomb(20 << 20))
        struct.pack_into("<L", data, data.index(b"PK\1\2") + 24, claimed)
        with pytest.raises((ArchiveTooLarge, MalformedArchive)):
            unpacked(bytes(data))

    def test_overlapping_members_are_refused(self) -> None:
        """One member's bytes named by many directory entries (Fifield 2019)."""
        data = zipped({"a": b"\0" * (1 << 20)})
        start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
        entry, tail = data[start:end], bytearray(data[end:])
        struct.pack_into("<HHL", tail, 8, 50, 50, len(entry) * 50)
        with pytest.raises((ArchiveTooLarge, MalformedArchive)):
            unpacked(data[:start] + entry * 50 + bytes(tail))


class TestOneFileThatCannotBeHad:
    """The others are; which is told by an error in its place."""

    def kinds(self, data: bytes) -> list[type[object]]:
        return [type(file) for file in archive_files(written(data))]

    def test_damaged(self) -> None:
        data = bytearray(zipped(FILES, zipfile.ZIP_STORED))
        data[data.index(FILES["folder/b.dcm"]) + 1000] ^= 1
        assert self.kinds(bytes(data)) == [bytes, MalformedArchive, bytes]

    def test_a_zip(self) -> None:
        assert self.kinds(zipped({"a": b"a", "b.zip": zipped(FILES), "c": b"c"})) == [bytes, UnsupportedArchive, bytes]

    def test_encrypted(self) -> None:
        data = bytearray(zipped({"a": b"a" * 100, "b": b"b" * 100}))
        data[6] |= 1
        data[data.index(b"PK\1\2") + 8] |= 1
        assert self.kinds(bytes(data)) == [UnsupportedArchive, bytes]

    def test_what_is_damaged_counts_as_inflated(self) -> None:
        data = bytearray(zipped({f"{n}": b"\0" * (4 << 20) for n in range(5)}))
        start = 0
        while (start := data.find(b"PK\1\2", start + 1)) >= 0:
            data[start + 16] ^= 1  # the checksum
        with pytest.raises(ArchiveTooLarge):
            list(archive_files(written(bytes(data))))


def test_the_archive_shrinks_while_its_files_are_read() -> None:
    files = {str(n): bytes([n]) * 5000 for n in range(20)}
    archive = written(zipped(files, zipfile.ZIP_STORED), block_bytes=500)
    held = [archive.held_bytes for _ in archive_files(archive)]
    assert all(now <= len(archive) - 5000 * n + 1000 for n, now in enumerate(held))
    assert archive.held_bytes == 0


def test_the_archive_shrinks_while_one_large_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.imaging.archive.LARGE_BYTES", 5000)
    monkeypatch.setattr("app.imaging.archive.INFLATED_BYTES", 1000)
    large = bytes(range(250)) * 200
    archive = written(zipped({"small": b"s" * 5000, "large": large, "last": b"l"}, zipfile.ZIP_STORED), block_bytes=500)
    files = archive_files(archive)
    assert next(files) == b"s" * 5000
    file = next(files)
    assert isinstance(file, ChunkedFile)
    # zipfile reads ahead by a few kilobytes.
    assert archive.held_bytes < len(large) / 2
    assert (file.piece(0, len(file)), next(files)) == (large, b"l")


@pytest.mark.parametrize("claimed", [0, 4999, 5001, 1 << 31])
def test_a_large_file_whose_size_is_a_lie_is_refused(claimed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.imaging.archive.LARGE_BYTES", 5000)
    data = bytearray(zipped({"file": b"x" * 10_000}, zipfile.ZIP_STORED))
    for at in (22, data.index(b"PK\1\2") + 24):
        struct.pack_into("<L", data, at, claimed)
    refused(bytes(data), MalformedArchive)


@bounded
@given(damage=changes)
def test_a_damaged_archive_gives_its_files_or_an_error_of_ours(damage: list[tuple[int, str, bytes]]) -> None:
    files = {**FILES, "last": b"ordinary text, " * 40}
    assert_unpacks_or_explains(damaged(zipped(files), damage))


@bounded
@given(data=st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    assert_unpacks_or_explains(b"PK\3\4" + data)


def assert_unpacks_or_explains(data: bytes) -> None:
    try:
        files: Iterable[bytes] = unpacked(data)
    except InputError as error:
        assert_explains(error)
        return
    assert sum(map(len, files)) < 100 * len(data)
