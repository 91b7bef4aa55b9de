"""A batch over a small archive: every series once, in the order in which it was found, whatever ends meanwhile."""

from __future__ import annotations

import os
import signal
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from app.batch import batch, workers
from app.batch.archive import Sighting, sightings
from app.batch.index import Index, Outcome, Series
from app.batch.judging import outcome_of
from app.batch.tables import write_part
from app.errors import DecoderUnavailable, StartupError
from app.security.pseudonyms import pseudonym
from phantoms.archive import write_series
from phantoms.slices import SECRET_ID, SECRET_NAME
from tests.batch import judges
from tests.batch.conftest import PLAIN_SERIES
from tests.batch.tables import KEY, Load, arithmetic, bytes_of, plan_of, rows_of, run

JUDGED = PLAIN_SERIES + 3  # the zip, the series in two folders, the one of a single slice
FAILED = {"malformed_dicom": 1, "malformed_archive": 1}


def test_every_series_is_in_one_table_once(undisturbed: Path) -> None:
    rows = rows_of(undisturbed)
    assert len(rows["series"]) == JUDGED
    assert Counter(row["error_code"] for row in rows["failures"]) == FAILED
    numbers = [row["number"] for row in rows["series"]]
    assert numbers == sorted(numbers)
    assert sorted(numbers + [row["number"] for row in rows["failures"]]) == list(range(1, JUDGED + 3))
    assert Counter(row["slices"] for row in rows["series"]) == {8: JUDGED - 1, 1: 1}
    with_nodule = {row["number"]: row["findings"] for row in rows["series"]}
    assert Counter(row["number"] for row in rows["findings"]) == {n: count for n, count in with_nodule.items() if count}
    assert {row["decision"] for row in rows["series"]} == {"cancer_suspected", "indeterminate"}
    assert all(row["classifier"].startswith("nodule-classifier/1 sha256:") for row in rows["series"])


def test_what_names_a_patient_is_a_keyed_hash_unless_asked_for(
    archive: Path, models: Path, undisturbed: Path, tmp_path: Path
) -> None:
    run(archive, tmp_path / "plain", arithmetic(models), key=None)
    rows, named = rows_of(undisturbed), rows_of(tmp_path / "plain")
    assert str(archive / "plain 0") in {row["source"] for row in named["series"]}
    kinds = {"series": "series", "study": "study", "instance": "instance", "source": "source"}
    for table, other in named.items():
        for row, own in zip(rows[table], other, strict=True):
            names = {column: own[column] for column in kinds if own.get(column)}
            assert row == own | {column: pseudonym(KEY, kinds[column], name) for column, name in names.items()}
    for name, content in bytes_of(undisturbed).items():
        assert not [each for each in (SECRET_NAME, SECRET_ID, "Secret^Patient", "2.25.") if each.encode() in content], (
            name
        )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process")
def test_killed_at_three_moments_it_ends_with_the_tables_of_an_undisturbed_run(
    archive: Path, models: Path, undisturbed: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    for place in ("plain 0", "plain 2", "plain 5"):
        assert killed_run(archive, killed, partial(judges.ending_parent, models, place)) == -signal.SIGKILL
    run(archive, killed, arithmetic(models))
    assert bytes_of(killed) == bytes_of(undisturbed)


def killed_run(source: Path, out: Path, load: Load) -> int:
    """Minus the signal that ended a run in a process of its own, or its exit code."""
    child = os.fork()
    if child == 0:
        try:
            run(source, out, load)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Stopped(Exception):
    pass


def cut_sightings(source: Path, kept_out: Path) -> Iterator[Sighting | None]:
    yield from islice(sightings(source, kept_out), 30)
    raise Stopped


def cut_after_part(folder: Path, number: int, outcomes: Sequence[Outcome]) -> None:
    write_part(folder, number, outcomes)
    raise Stopped


def test_stopped_while_it_looks_and_while_it_writes_it_goes_on(
    archive: Path, models: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step, cut in (("sightings", cut_sightings), ("write_part", cut_after_part)):
        with monkeypatch.context() as patch:
            patch.setattr(batch, step, cut)
            with pytest.raises(Stopped):
                run(archive, tmp_path / "stopped", arithmetic(models))
    run(archive, tmp_path / "stopped", arithmetic(models))
    assert bytes_of(tmp_path / "stopped") == bytes_of(undisturbed)


def test_a_part_that_was_written_in_half_of_the_tables_is_written_again(tmp_path: Path) -> None:
    outcomes = [{"failure": {"number": 1, "series": None, "source": "a", "error_code": "b", "error": "c"}}]
    write_part(tmp_path, 0, outcomes)
    whole = bytes_of(tmp_path)
    (tmp_path / "series.parquet" / "part-000000.parquet").unlink()
    (tmp_path / "failures.parquet" / ".part-000000.parquet").write_bytes(b"cut short")
    write_part(tmp_path, 0, outcomes)
    assert bytes_of(tmp_path) == whole


def test_a_series_that_ends_its_workers_is_a_failure_and_costs_no_other(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "TRIES", 2)
    for number, name in enumerate(("fine", "kills")):
        write_series(tmp_path / "archive" / name, number)
    run(tmp_path / "archive", tmp_path / "out", partial(judges.deadly, models))
    rows = rows_of(tmp_path / "out")
    assert [row["number"] for row in rows["series"]] == [1]
    assert [(row["number"], row["error_code"]) for row in rows["failures"]] == [(2, "worker_died")]
    assert "2 workers" in rows["failures"][0]["error"]


def test_what_passes_by_itself_is_no_failure(models: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "no decoder", 0)
    series = Series(1, None, tuple((tmp_path / "no decoder").iterdir()))
    with judges.deadly(models) as judge, pytest.raises(DecoderUnavailable):
        outcome_of(series, judge)


def test_two_workers_write_what_one_writes(archive: Path, models: Path, undisturbed: Path, tmp_path: Path) -> None:
    run(archive, tmp_path / "two", arithmetic(models), workers=2)
    assert bytes_of(tmp_path / "two") == bytes_of(undisturbed)


def test_a_batch_that_is_done_starts_no_worker(archive: Path, models: Path, undisturbed: Path) -> None:
    before = bytes_of(undisturbed)
    run(archive, undisturbed, partial(judges.unloadable, models))
    assert bytes_of(undisturbed) == before


def test_what_comes_after_the_index_joins_no_series(tmp_path: Path) -> None:
    write_series(tmp_path / "archive" / "first", 0)
    plan = plan_of(tmp_path / "archive", tmp_path)
    with Index(tmp_path / "index.sqlite") as index:
        batch.look_through(plan, index)
        write_series(tmp_path / "archive" / "later", 1)
        batch.look_through(plan, index)
        assert index.counts() == {None: 1}


def test_workers_that_cannot_load_the_models_end_the_batch(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MAX_STARTS", 1)
    write_series(tmp_path / "archive", 0)
    with pytest.raises(StartupError, match=r"end while they load the models \(exit code 3\)"):
        run(tmp_path / "archive", tmp_path / "out", partial(judges.unloadable, models))


def test_one_table_holds_the_judgements_of_one_judge(archive: Path, models: Path, undisturbed: Path) -> None:
    with pytest.raises(StartupError, match="begun with another part_series"):
        run(archive, undisturbed, arithmetic(models), part_series=5)
    with pytest.raises(StartupError, match="begun with another source"):
        run(archive.parent, undisturbed, arithmetic(models))


def test_only_its_owner_may_read_what_it_writes(undisturbed: Path) -> None:
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in undisturbed.rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
