"""A cell decodes as the process itself does; what goes wrong in it costs what it was decoding, and no more."""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from app.cell import template
from app.cell.cells import CellLimits, Cells
from app.errors import DecoderUnavailable, InputError, MalformedPicture, Undecodable
from app.imaging.chunked import LARGE_BYTES, ChunkedFile
from app.imaging.decoder import IN_PROCESS, Decoder
from app.imaging.options import ReadOptions
from app.imaging.read import quiet_decoders, read_slice
from benchmarks.fuzz import sources
from benchmarks.fuzz.archives import mutated_archive
from benchmarks.fuzz.elements import mutated
from benchmarks.fuzz.pictures import mutated_picture
from benchmarks.fuzz.pixels import codestream
from benchmarks.serving.service import eventually
from tests.cell.conftest import FAULTY, Faulty, children, state, used_s
from tests.imaging.series_files import zipped

MUTANTS: Final = 60  # of each source
SPINNING_S: Final = 0.3  # of processor time: a cell that only begins uses a tenth of it
PNG: Final = sources.pictures()["PNG"]
STATED: Final = ReadOptions(frame=1, pixel_spacing_mm=(0.7, 0.7))


def outcome(data: bytes, decoder: Decoder) -> NDArray[np.float32] | tuple[type[InputError], str]:
    try:
        return read_slice(data, STATED, decoder).hu
    except InputError as error:
        return type(error), str(error)


def assert_same(data: bytes, cells: Cells) -> None:
    ours, theirs = outcome(data, IN_PROCESS), outcome(data, cells)
    if isinstance(ours, np.ndarray):
        assert isinstance(theirs, np.ndarray)
        assert np.array_equal(ours, theirs)
    else:
        assert ours == theirs


@pytest.fixture(autouse=True)
def quiet() -> None:
    quiet_decoders()


@pytest.mark.parametrize("name", sources.slices())
def test_every_syntax_is_decoded_as_in_process(cells: Cells, name: str) -> None:
    assert_same(sources.slices()[name].written(), cells)


@pytest.mark.parametrize("name", sources.pictures())
def test_so_is_every_picture_and_each_damaged_one_is_refused_in_the_same_words(cells: Cells, name: str) -> None:
    rng = random.Random(name)
    assert_same(sources.pictures()[name], cells)
    for _ in range(MUTANTS):
        assert_same(mutated_picture(sources.pictures()[name], rng)[0], cells)


@pytest.mark.parametrize("name", sources.encapsulated())
def test_so_is_each_damaged_codestream(cells: Cells, name: str) -> None:
    rng = random.Random(name)
    for _ in range(MUTANTS):
        file = sources.encapsulated()[name].copy()
        codestream(file, rng)
        assert_same(file.written(), cells)


@pytest.mark.parametrize("name", sources.enhanced())
def test_so_is_a_frame_of_many(cells: Cells, name: str) -> None:
    rng = random.Random(name)
    for _ in range(10):
        assert_same(mutated(sources.enhanced()[name], rng)[0], cells)


def files(data: bytes, decoder: Decoder) -> list[bytes | tuple[type[InputError], str]]:
    found = list[bytes | tuple[type[InputError], str]]()
    try:
        for file in decoder.archive(ChunkedFile([data])):
            if isinstance(file, InputError):
                found.append((type(file), str(file)))
            else:
                found.append(bytes(file.whole() if isinstance(file, ChunkedFile) else file))
    except InputError as error:
        found.append((type(error), str(error)))
    return found


def test_an_archive_holds_the_same_files_and_the_same_errors(cells: Cells) -> None:
    rng = random.Random(7)
    members = [file.written() for file in sources.series()]
    for _ in range(MUTANTS * 3):
        data = mutated_archive(members, rng)[0]
        assert files(data, cells) == files(data, IN_PROCESS)


def test_a_large_member_comes_in_blocks_while_the_archive_is_released(cells: Cells) -> None:
    large = np.random.default_rng(1).integers(0, 256, LARGE_BYTES + 5, np.uint8).tobytes()
    archive = ChunkedFile([zipped({"a": b"small", "b": large})])
    first, second = cells.archive(archive)
    assert first == b"small"
    assert isinstance(second, ChunkedFile)
    assert second.whole() == large
    assert archive.held_bytes == 0


def test_an_archive_of_which_no_more_is_wanted_leaves_nothing_behind(cells: Cells) -> None:
    archive = ChunkedFile([zipped({name: bytes(1 << 21) for name in "abc"})])
    taken: Iterator[Any] = cells.archive(archive)
    next(taken)
    taken.close()  # type: ignore[attr-defined]  # a generator
    assert_same(PNG, cells)


NOTHING_OF: Final = (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC)
FAULTS: Final = {b"abort": "crash", b"spin": "time", b"garble": "garbled", b"swell": "garbled"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_what_was_decoded_and_nothing_else(faulty: Faulty, fault: bytes) -> None:
    with pytest.raises(Undecodable):
        faulty.picture(PNG + fault, "png", None)
    assert faulty.causes == [FAULTS[fault]]
    assert faulty.picture(PNG, "png", None).values.shape == (128, 128)


def test_memory_is_bounded(faulty: Faulty) -> None:
    with pytest.raises(Undecodable, match="more than 128 MB"):
        faulty.picture(PNG + b"hog", "png", None)
    assert faulty.picture(PNG, "png", None).pages == 1


def test_an_error_that_nobody_expected_is_logged_by_its_place(faulty: Faulty, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Undecodable):
        faulty.picture(PNG + b"raise", "png", None)
    assert "RecursionError at" in caplog.text


def test_what_a_cell_says_is_an_error_of_input_or_none(faulty: Faulty) -> None:
    with pytest.raises(Undecodable):
        faulty.picture(PNG + b"lie", "png", None)


def test_a_cell_reaches_nothing(faulty: Faulty) -> None:
    with pytest.raises(MalformedPicture, match=r"done: \[\]"):
        faulty.picture(PNG + b"attempt", "png", None)


def test_a_cell_has_no_secrets_no_runtime_and_leaves_no_core(faulty: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGSCOPE_API_TOKEN", "a secret of the service")
    said = []
    for asked in (b"environment", b"modules"):
        with pytest.raises(MalformedPicture) as refused:
            faulty.picture(PNG + asked, "png", None)
        said.append(refused.value.found)
    environment, modules = said
    assert "LUNGSCOPE" not in environment
    assert modules == "loaded: []"
    faulty.picture(PNG, "png", None)  # a cell confines itself before it is asked anything, and not before it has an id
    assert [resource.prlimit(faulty.processes[1], limit) for limit in NOTHING_OF] == [(0, 0)] * len(NOTHING_OF)


@pytest.mark.parametrize("signalled", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_a_cell_that_is_ended_or_stopped_meanwhile_is_replaced(faulty: Faulty, signalled: signal.Signals) -> None:
    faulty.start()
    _, cell = faulty.processes
    os.kill(cell, signalled)
    assert eventually(lambda: state(cell) in "TZX")
    assert faulty.picture(PNG, "png", None).pages == 1
    assert cell not in faulty.processes


@pytest.mark.parametrize("signalled", [signal.SIGKILL, signal.SIGSTOP])
def test_what_a_cell_was_decoding_when_it_was_ended_is_tried_once_more(
    monkeypatch: pytest.MonkeyPatch, signalled: signal.Signals
) -> None:
    monkeypatch.setattr(template, "MODULE", FAULTY)
    spinning = Faulty(cpu_s=30)
    errors: list[InputError] = []

    def decode() -> None:
        try:
            spinning.picture(PNG + b"spin", "png", None)
        except InputError as error:
            errors.append(error)

    with spinning:
        spinning.start()
        thread = threading.Thread(target=decode)
        thread.start()
        seen: set[int] = set()
        for _ in range(2):
            # By what it has used: one that only begins runs for a moment, too.
            busy = eventually(lambda: [p for p in spinning.processes[1:] if p not in seen and used_s(p) > SPINNING_S])
            os.kill(busy[0], signalled)
            seen.add(busy[0])
        thread.join()
    assert [type(error) for error in errors] == [Undecodable]
    assert spinning.causes == ["killed", "killed"]


@pytest.mark.parametrize("signalled", [signal.SIGKILL, signal.SIGSTOP])
def test_a_template_that_is_ended_or_stopped_is_replaced(
    faulty: Faulty, signalled: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template, "ANSWER_S", 0.2)
    faulty.start()
    before = faulty.processes
    os.kill(before[0], signalled)
    os.kill(before[1], signal.SIGKILL)
    assert eventually(lambda: state(before[1]) in "ZX")
    assert faulty.picture(PNG, "png", None).pages == 1
    assert "template" in faulty.causes
    assert before[0] not in faulty.processes


def test_where_no_process_can_be_started_the_client_may_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "MODULE", "tests.cell.no_such_module")
    with Cells(CellLimits()) as cells, pytest.raises(DecoderUnavailable):
        cells.picture(PNG, "png", None)


def test_at_the_end_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "MODULE", FAULTY)
    before = set(children(os.getpid()))
    with Faulty() as faulty:
        faulty.start()
        started = faulty.processes
    assert eventually(lambda: all(state(pid) == "X" for pid in started))
    assert set(children(os.getpid())) <= before


def test_threads_decode_at_the_same_time(cells: Cells) -> None:
    failed: list[BaseException] = []

    def decode(work: Callable[[], Any]) -> None:
        try:
            for _ in range(5):
                work()
        except BaseException as error:
            failed.append(error)

    data = sources.slices()["JPEG2000Lossless"].written()
    threads = [threading.Thread(target=decode, args=(lambda: assert_same(data, cells),)) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not failed
