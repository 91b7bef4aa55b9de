"""Jobs on the spool: what becomes of them while processes are killed, what is cancelled and what is not, and what is
fetched for them."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from app.delivery.database.pulls import Pull
from app.delivery.database.submissions import JobState, JobStatus, Submission
from app.delivery.fetching.pulling import MAX_ATTEMPTS, Fetched, PullWork
from app.delivery.fetching.source import NotFetched
from app.delivery.inbox import Inbox
from app.delivery.spool.job_mark import MARK
from app.delivery.spool.spool import Reception
from app.delivery.worker import Backoff
from app.errors import SpoolFull
from app.reports.result import ReportReference, ResultObject, SeriesResult
from tests.delivery.spool.test_spool import receive
from tests.delivery.test_kills import judging
from tests.delivery.test_late import LATER, STUDY, Site, one

pytestmark = pytest.mark.usefixtures("each_database")
JOBS, JUDGES = 12, 2


class Desk(Site):
    """A site that takes jobs, and answers about them with what it has seen."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        hashed: Callable[[str, str], str] = lambda kind, value: f"{kind} {value}"  # noqa: E731  # as short as it is
        self.inbox = Inbox(self.spool, self.store, hashed, most_bytes=1 << 30, keep_hours=1)
        self.work = replace(self.work, judge=self._answer)

    def _answer(
        self, paths: Sequence[Path], at: datetime, _: object, wanted: frozenset[str], before: ReportReference | None
    ) -> SeriesResult:
        seen = "".join(sorted(path.read_text() for path in paths))
        result = self._judge(paths, at, None, None, before)
        if "answer" not in wanted:
            return result
        answer = ResultObject(f"answer about {seen}", "answer", STUDY, "1.9", "{}", seen.encode())
        return replace(result, objects=[*result.objects, answer])

    def submit(self, job: str, series: str, *instances: str) -> None:
        self.inbox.received([(STUDY, series)])
        self.inbox.submitted(job, "the request", [(STUDY, series)])
        with self.spool.reception(job) as reception:
            fill(reception, series, *instances)
            reception.commit()

    def standing(self, job: str) -> tuple[JobState, str]:
        submission = self.store.submission(job)
        assert submission is not None
        places = self.spool.places()
        found = [self.store.status_of(name, places) for name in submission.series]
        return JobStatus(submission, [each for each in found if each is not None]).standing

    def answer_to(self, job: str) -> bytes | None:
        submission = self.store.submission(job)
        assert submission is not None
        (name,) = submission.series
        return self.store.answers_about(name)

    def withdraw(self, job: str) -> bool:
        submission = self.store.submission(job)
        assert submission is not None
        return self.spool.withdraw(submission.series, job)


def fill(reception: Reception, series: str, *instances: str) -> None:
    for uid in instances:
        with reception.open_part() as part:
            part.write(uid.encode())
        reception.keep(series, uid)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes")
def test_what_comes_while_a_job_is_asked_about_is_not_said_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    submission = desk.store.submission

    def sent_meanwhile(job: str) -> Submission | None:
        desk.submit(job, "1.1", "a")
        return submission(job)

    monkeypatch.setattr(desk.store, "submission", sent_meanwhile)
    status = desk.inbox.job("job")
    assert status is not None
    assert status.standing == ("waiting", "")


def test_every_job_is_answered_whoever_is_killed(tmp_path: Path) -> None:
    desk, chance = Desk(tmp_path), random.Random(5)
    judges = [judging(tmp_path, Desk) for _ in range(JUDGES)]
    try:
        for number in range(JOBS):
            desk.submit(f"job {number}", f"1.5.{number}", f"<{number} a>", f"<{number} b>")
            if chance.random() < 0.4:
                place = chance.randrange(JUDGES)
                os.kill(judges[place], signal.SIGKILL)
                os.waitpid(judges[place], 0)
                judges[place] = judging(tmp_path, Desk)
    finally:
        for child in judges:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    desk.run()
    for number in range(JOBS):
        state, code = desk.standing(f"job {number}")
        # One that was killed with its judge three times, by chance, says so.
        assert state == "delivering" or (state, code) == ("failed", "judge_ended")
        if state == "delivering":
            assert desk.answer_to(f"job {number}") == f"<{number} a><{number} b>".encode()


def test_a_series_for_which_nobody_asks_has_no_answer(desk: Desk) -> None:
    desk.bring("a")
    desk.run()
    assert desk.store.answers_about(desk.spool.name_of("1.2")) is None
    desk.submit("job", "1.2", "a")
    desk.run()
    assert desk.answer_to("job") == b"a"


def test_what_comes_late_replaces_the_answer(desk: Desk) -> None:
    desk.submit("job", "1.2", "a")
    desk.run()
    assert desk.answer_to("job") == b"a"
    desk.bring("b")
    assert desk.standing("job")[0] == "waiting"
    desk.run()
    assert desk.answer_to("job") == b"ab"


def test_a_job_withdraws_what_it_alone_has_brought(desk: Desk) -> None:
    desk.submit("job", "1.2", "a", "b")
    assert not desk.spool.withdraw([desk.spool.name_of("1.2")], "another job")
    assert desk.withdraw("job")
    assert not desk.withdraw("job")
    assert len(desk.spool) == 0
    desk.run()
    assert desk.judged == []


@pytest.mark.parametrize("first", ["the job", "another sender"])
def test_a_job_does_not_withdraw_what_others_brought_too(desk: Desk, first: str) -> None:
    if first == "the job":
        desk.submit("job", "1.2", "a")
        receive(desk.spool, "b")
    else:
        receive(desk.spool, "b")
        desk.submit("job", "1.2", "a")
    assert not desk.withdraw("job")
    desk.run()
    assert [seen for seen, _ in desk.judged] == ["ab"]


def test_a_job_withdraws_nothing_that_is_being_judged_or_was(desk: Desk) -> None:
    desk.submit("job", "1.2", "a")
    claim = desk.spool.claim(LATER)
    assert claim is not None
    assert not desk.withdraw("job")
    claim.release()
    desk.run()
    assert not desk.withdraw("job")
    assert desk.answer_to("job") == b"a"


def test_of_several_series_all_are_withdrawn_or_none(desk: Desk) -> None:
    desk.submit("job", "1.2", "a")
    desk.submit("other", "1.3", "b")
    names = [desk.spool.name_of(series) for series in ("1.2", "1.3")]
    assert not desk.spool.withdraw(names, "job")
    assert len(desk.spool) == 2


def test_a_mark_tells_nothing_and_is_no_instance(desk: Desk) -> None:
    desk.submit("job", "1.2", "a")
    (place,) = desk.spool.series.iterdir()
    assert (place / MARK).read_text() == "job"
    assert (place / MARK).stat().st_mode & 0o777 == 0o600
    desk.run()
    assert [seen for seen, _ in desk.judged] == ["a"]


class Fetcher(Desk):
    """A site that fetches: by `plan`, one each time."""

    def __init__(self, folder: Path, *plan: Callable[[Pull, Reception], Fetched]) -> None:
        super().__init__(folder)
        self.plan = list(plan)
        self.pulls = PullWork(self.inbox, self._next, folder / "fetching.lock", Backoff(10), self.metrics)

    def _next(self, pull: Pull, reception: Reception) -> Fetched:
        return self.plan.pop(0)(pull, reception)

    def ask(self, job: str) -> None:
        self.store.ask(Submission(job, "", "received", "", time.time(), ()), Pull(job, STUDY), expires_at=LATER)


def bring_two(pull: Pull, reception: Reception) -> Fetched:
    fill(reception, "1.2", "a")
    fill(reception, "1.3", "b")
    return Fetched(frozenset({(pull.study_uid, "1.2"), (pull.study_uid, "1.3")}), {})


def refused(code: str, *, passing: bool) -> Callable[[Pull, Reception], Fetched]:
    def fail(_: Pull, reception: Reception) -> Fetched:
        fill(reception, "1.2", "half of it")
        raise NotFetched(code, passing=passing)

    return fail


def test_what_is_fetched_is_judged_as_any_other_series(tmp_path: Path) -> None:
    site = Fetcher(tmp_path, bring_two)
    site.ask("job")
    assert site.standing("job") == ("received", "")
    assert site.pulls.step()
    assert site.standing("job") == ("waiting", "")
    assert site.store.pulls_waiting() == 0
    assert not site.pulls.step()
    site.run()
    assert site.standing("job") == ("delivering", "")
    assert sorted(seen for seen, _ in site.judged) == ["a", "b"]


def test_what_passes_is_fetched_later_and_nothing_of_the_first_attempt_stays(tmp_path: Path) -> None:
    site = Fetcher(tmp_path, refused("source_failing", passing=True), bring_two)
    site.ask("job")
    now = time.time()
    assert not site.pulls.step(now)
    assert site.standing("job") == ("received", "source_failing")
    assert not site.pulls.step(now + 9), "it is not due"
    assert len(site.spool) == 0
    assert site.pulls.step(now + 11)
    assert site.standing("job") == ("waiting", "")


def test_what_does_not_pass_and_what_fails_too_often_ends_the_job(tmp_path: Path) -> None:
    site = Fetcher(tmp_path, refused("not_at_source", passing=False))
    site.ask("job")
    assert site.pulls.step()
    assert site.standing("job") == ("failed", "not_at_source")
    site.plan = [refused("source_unreachable", passing=True)] * MAX_ATTEMPTS
    site.ask("other")
    for attempt in range(MAX_ATTEMPTS):
        site.pulls.step(time.time() + attempt * 1e5)
    assert site.standing("other") == ("received", "source_unreachable")
    site.pulls.step(LATER - 1)
    assert site.standing("other") == ("failed", "source_unreachable")
    assert not site.plan


def test_want_of_room_is_no_fault_of_the_job(tmp_path: Path) -> None:
    def full(_: Pull, __: Reception) -> Fetched:
        raise SpoolFull(found="much", expected="less", remedy="Wait.")

    site = Fetcher(tmp_path, *[full] * (MAX_ATTEMPTS + 2), bring_two)
    site.ask("job")
    for attempt in range(MAX_ATTEMPTS + 2):
        assert not site.pulls.step(time.time() + attempt * 1e5)
    assert site.standing("job") == ("received", "spool_full")
    assert site.pulls.step(LATER - 1)
    assert site.standing("job") == ("waiting", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes")
def test_what_a_killed_process_was_fetching_is_fetched_by_another(tmp_path: Path) -> None:
    def die(_: Pull, reception: Reception) -> Fetched:
        fill(reception, "1.2", "half of it")
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    site = Fetcher(tmp_path, bring_two)
    site.ask("job")
    if (child := os.fork()) == 0:
        try:
            Fetcher(tmp_path, die).pulls.step()
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert site.standing("job") == ("received", "")
    site.spool.sweep(time.time())
    assert site.pulls.step()
    site.run()
    assert sorted(seen for seen, _ in site.judged) == ["a", "b"]


def test_what_kills_whoever_fetches_it_is_given_up(tmp_path: Path) -> None:
    site = Fetcher(tmp_path)
    site.ask("job")
    for _ in range(MAX_ATTEMPTS):
        site.store.begin_pull("job")
    assert site.pulls.step()
    assert site.standing("job") == ("failed", "internal_error")


def test_a_job_that_is_cancelled_while_it_is_fetched_leaves_nothing(tmp_path: Path) -> None:
    def cancelled_meanwhile(pull: Pull, reception: Reception) -> Fetched:
        assert site.store.withdraw_pull(pull.job)
        return bring_two(pull, reception)

    site = Fetcher(tmp_path, cancelled_meanwhile)
    site.ask("job")
    assert site.pulls.step()
    assert site.standing("job")[0] == "cancelled"
    assert len(site.spool) == 0
    site.run()
    assert site.judged == []


def test_only_one_process_fetches_at_a_time(tmp_path: Path) -> None:
    def see(pull: Pull, reception: Reception) -> Fetched:
        other = Fetcher(tmp_path, bring_two)
        assert not other.pulls.step()
        return bring_two(pull, reception)

    site = Fetcher(tmp_path, see)
    site.ask("job")
    assert site.pulls.step()
    assert site.standing("job") == ("waiting", "")


def test_a_report_alone_is_no_answer(desk: Desk) -> None:
    """What could not be written costs only itself."""
    desk.work = replace(desk.work, judge=lambda *_: one("report"))
    desk.submit("job", "1.2", "a")
    desk.run()
    assert desk.standing("job") == ("delivering", "")
    assert desk.answer_to("job") is None
