"""Files in memory: reading them as any file, and giving them back."""

from __future__ import annotations

import io
from mmap import PAGESIZE
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ArchiveTooLarge
from app.imaging.chunked import BLOCK_BYTES, MAX_READ_BYTES, ChunkedFile, FileBytes, piece_of, stream_of, stream_within

bounded = settings(derandomize=True, deadline=None, max_examples=100)
DATA = bytes(range(256)) * 100


def held_as(kind: str) -> FileBytes:
    held: dict[str, FileBytes] = {
        "bytes": DATA,
        "view": memoryview(DATA),
        "blocks": ChunkedFile([DATA], block_bytes=1000),
    }
    return held[kind]


class TestChunkedFile:
    @bounded
    @given(pieces=st.lists(st.binary(max_size=9), max_size=9), at=st.integers(0, 90), size=st.integers(-1, 90))
    def test_it_reads_as_the_bytes_joined(self, pieces: list[bytes], at: int, size: int) -> None:
        one, other = ChunkedFile(pieces, block_bytes=4), io.BytesIO(b"".join(pieces))
        assert one.seek(at) == other.seek(at)
        assert (one.read(size), one.tell(), len(one)) == (other.read(size), other.tell(), len(other.getvalue()))

    def test_it_seeks_from_all_three_places(self) -> None:
        file = ChunkedFile([b"abc", b"", b"def"])
        assert (file.seek(2), file.seek(2, 1), file.read(1)) == (2, 4, b"e")
        assert (file.seek(-2, 2), file.read()) == (4, b"ef")
        with pytest.raises(OSError, match="beginning"):
            file.seek(-7, 2)

    def test_what_was_released_is_gone_and_the_rest_is_not(self) -> None:
        file = ChunkedFile([b"abcdefgh"], block_bytes=3)
        file.release(5)
        assert (file.seek(3), file.read(), file.held_bytes) == (3, b"defgh", 6)
        file.seek(2)
        with pytest.raises(OSError, match="released"):
            file.read(1)
        file.release(1)
        file.release(8)
        assert (file.seek(0, 2), file.read(1), file.held_bytes) == (8, b"", 0)

    def test_pages_of_a_block_are_given_back_too(self) -> None:
        data = bytes(range(256)) * (3 * PAGESIZE // 256)
        file = ChunkedFile([data])
        file.release(2 * PAGESIZE + 9)
        assert file.held_bytes == BLOCK_BYTES - 2 * PAGESIZE
        assert file.piece(2 * PAGESIZE, len(data)) == data[2 * PAGESIZE :]
        for read in (lambda: file.piece(2 * PAGESIZE - 1, len(data)), file.whole):
            with pytest.raises(OSError, match="released"):
                read()
        file.release(len(data))
        assert file.held_bytes == 0

    def test_it_is_whole_as_a_view_of_its_block_or_a_copy_of_several(self) -> None:
        one, several, none = ChunkedFile([DATA]), ChunkedFile([DATA], block_bytes=1000), ChunkedFile()
        assert (one.whole(), several.whole(), none.whole()) == (DATA, DATA, b"")
        assert isinstance(one.whole(), memoryview)

    def test_it_reads_a_file_from_the_disk(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(DATA)
        file = ChunkedFile.at(tmp_path / "file")
        assert file.piece(0, len(DATA) + 1) == DATA
        with pytest.raises(FileNotFoundError):
            ChunkedFile.at(tmp_path / "none")

    def test_too_much_at_once_is_refused(self) -> None:
        file = ChunkedFile([bytes(MAX_READ_BYTES), b"x"])
        with pytest.raises(ArchiveTooLarge):
            file.read()
        assert len(file.read(MAX_READ_BYTES)) == MAX_READ_BYTES

    def test_a_piece_may_lie_in_many_blocks_and_end_beyond_the_file(self) -> None:
        file = ChunkedFile([b"abcdefgh"], block_bytes=3)
        assert (file.piece(1, 7), file.piece(3, 5), file.piece(6, 90), file.piece(9, 12)) == (
            b"bcdefg",
            b"de",
            b"gh",
            b"",
        )


@pytest.mark.parametrize("kind", ["bytes", "view", "blocks"])
class TestEveryFile:
    @bounded
    @given(at=st.integers(0, 30_000), size=st.integers(-1, 30_000), whence=st.sampled_from([0, 1, 2]))
    def test_its_stream_reads_as_any(self, kind: str, at: int, size: int, whence: int) -> None:
        one, other = stream_of(held_as(kind)), io.BytesIO(DATA)
        one.read(7), other.read(7)
        assert one.seek(at, whence) == other.seek(at, whence)
        assert (one.read(size), one.tell()) == (other.read(size), other.tell())

    def test_a_stream_within_it_ends_where_it_should(self, kind: str) -> None:
        stream = stream_within(held_as(kind), 300, 9000)
        assert (stream.read(), stream.tell(), stream.seek(-2, 2)) == (DATA[300:9000], 8700, 8698)
        with pytest.raises(OSError, match="beginning"):
            stream.seek(-9000, 2)

    def test_a_piece_of_it(self, kind: str) -> None:
        assert piece_of(held_as(kind), 999, 2001) == DATA[999:2001]
