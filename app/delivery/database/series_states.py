"""What became of each series that came in, and which instances of it were judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from app.delivery.database.database import Database, Transaction
from app.reports.result import ReportReference

# How long it is remembered, by keyed hashes alone, that a series was judged: a late instance is not judged alone.
KNOWN_S: Final = 30 * 24 * 3600.0
LATE: Final = "late_instances"
REFUSED: Final = "refused_by_destination"
DROPPED: Final = "dropped"  # nobody came to judge it in time
Verdict: TypeAlias = Literal["judged", "unfit", "left_out", "failed"]
State: TypeAlias = Literal["waiting", "judging", "judged", "delivering", "delivered", "unfit", "left_out", "failed"]


@dataclass(frozen=True, slots=True)
class SeriesName:
    """A series by its name in the spool, and by its UIDs."""

    name: str
    study_uid: str
    series_uid: str


@dataclass(frozen=True, slots=True)
class Case:
    """A series by its name in the spool, its study and its accession number by the keyed hashes that logs have for
    them; `accession` is empty where there is none."""

    name: str
    study: str
    accession: str = ""

    def fields(self) -> dict[str, str]:
        """What a line of the log says of it besides its name."""
        return {"study": self.study} | ({"accession": self.accession} if self.accession else {})


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """A series that was looked at before: the names of its instances, the report that stands, and whether that says
    what was found (or else that nothing could be)."""

    instances: frozenset[str]
    report: ReportReference | None
    judged: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a series that was looked at: `code` says why it is not judged; `report` is the one that was
    written, `unwritten` are kinds of results that could not be."""

    name: str
    verdict: Verdict
    instances: frozenset[str]
    code: str = ""
    report: ReportReference | None = None
    unwritten: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeriesStatus:
    """Where a series stands, by its `name` in the spool.

    `waiting` counts its results that each destination still has to get, `refused_by` names those that do not want one;
    `changed_at` is `time.time()` of its last verdict, or of its arrival.
    """

    name: str
    study_uid: str
    series_uid: str
    state: State
    code: str
    changed_at: float
    waiting: Mapping[str, int]
    refused_by: Sequence[str]
    unwritten: Sequence[str]


class SeriesStates(Database):
    """The states of series in the database of results."""

    def received(self, series: Sequence[SeriesName], *, now: float, expires_at: float) -> None:
        """Note that instances of these series come; what became of them before stays noted."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO series VALUES (?, ?, ?, 'received', '', '[]', 0, '[]', ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at",
                [(each.name, each.study_uid, each.series_uid, now, expires_at) for each in series],
            )

    def note_cases(self, cases: Sequence[Case], *, expires_at: float) -> None:
        """Remember by which hashes logs know these series; an accession number that some instances have holds for
        all."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO cases VALUES (?, ?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at,"
                " accession = CASE excluded.accession WHEN '' THEN cases.accession ELSE excluded.accession END",
                [(case.name, case.study, case.accession, expires_at) for case in cases],
            )

    def case_of(self, name: str) -> Case | None:
        """The hashes of a series."""
        return next(self._cases("FROM cases WHERE name = ?", name), None)

    def case_of_result(self, uid: str) -> Case | None:
        """The hashes of a series of the study to which a result belongs."""
        query = "FROM objects JOIN series USING (study_uid) JOIN cases USING (name) WHERE uid = ? LIMIT 1"
        return next(self._cases(query, uid), None)

    def find_cases(self, hashed: str) -> list[Case]:
        """The series of a study or an accession number, by its hash."""
        return list(self._cases("FROM cases WHERE study = ? OR accession = ? ORDER BY rowid", hashed, hashed))

    def _cases(self, which: str, *values: str) -> Iterator[Case]:
        return (Case(*row) for row in self._rows(f"SELECT cases.name, study, accession {which}", *values))

    def others_of_study(self, name: str) -> list[str]:
        """The names in the spool of the other series of the same study."""
        rows = self._rows(
            "SELECT other.name FROM series AS own JOIN series AS other USING (study_uid)"
            " WHERE own.name = ? AND other.name <> own.name",
            name,
        )
        return [row[0] for row in rows]

    def known(self, name: str) -> KnownSeries | None:
        """What is remembered of a series that was looked at before."""
        rows = self._rows("SELECT instances, report FROM known_series WHERE name = ?", name)
        if not rows:
            return None
        instances, told = rows[0][0], json.loads(rows[0][1])
        return KnownSeries(frozenset(json.loads(instances)), _reference(told["report"]), told["judged"])

    def came_late(self, name: str, *, now: float) -> None:
        """Note that instances came after a series was judged, and after what was judged had been deleted."""
        with self._transaction() as connection:
            connection.execute("UPDATE series SET code = ?, changed_at = ? WHERE name = ?", (LATE, now, name))

    def drop(self, settled: Settled, *, now: float, keep_s: float) -> None:
        """Note that a series was deleted without a result; what was judged with others stays known, or one of them that
        comes later would be judged alone."""
        if (known := self.known(settled.name)) is not None:
            settled = replace(settled, instances=settled.instances | known.instances)
        with self._transaction() as connection:
            self._settle_series(connection, settled, [], 0, now=now, expires_at=now + keep_s)

    def statuses(self, study_uid: str, in_spool: Mapping[str, Literal["waiting", "judging"]]) -> list[SeriesStatus]:
        """Where each series of a study stands, in the order of arrival; `in_spool` says so of those in the spool, by
        name."""
        return self._statuses("study_uid = ?", study_uid, in_spool)

    def status_of(self, name: str, in_spool: Mapping[str, Literal["waiting", "judging"]]) -> SeriesStatus | None:
        """Where one series stands, by its name in the spool; None once that is forgotten."""
        return next(iter(self._statuses("name = ?", name, in_spool)), None)

    def _statuses(
        self, which: str, value: str, in_spool: Mapping[str, Literal["waiting", "judging"]]
    ) -> list[SeriesStatus]:
        rows = self._rows(
            "SELECT name, study_uid, series_uid, state, code, objects, owed, unwritten, changed_at FROM series"
            f" WHERE {which} ORDER BY rowid",
            value,
        )
        found = []
        for name, study_uid, series_uid, state, code, objects, owed, unwritten, changed_at in rows:
            waiting = self._counts("deliveries", objects)
            refused = sorted(self._counts("refused", objects))
            now, why = _standing(in_spool.get(name), state, code, owed=bool(owed), waiting=waiting, refused=refused)
            kinds = json.loads(unwritten)
            found.append(SeriesStatus(name, study_uid, series_uid, now, why, changed_at, waiting, refused, kinds))
        return found

    def _counts(self, table: Literal["deliveries", "refused"], objects: str) -> dict[str, int]:
        """The number of these objects in a table of destinations, by destination."""
        uids = json.loads(objects)
        query = f"SELECT destination, count(*) FROM {table} WHERE uid IN ({one_of(uids)})"
        return dict(self._rows(f"{query} GROUP BY destination ORDER BY destination", *uids))

    @staticmethod
    def _settle_series(
        connection: Transaction,
        settled: Settled,
        objects: Sequence[str],
        owed: int,
        *,
        now: float,
        expires_at: float,
    ) -> None:
        """Note what became of a series. Results that are replaced are deleted, and so not delivered any more: what
        was found stands until something else has been."""
        rows = connection.execute("SELECT objects FROM series WHERE name = ?", (settled.name,)).fetchall()
        told = connection.execute("SELECT report FROM known_series WHERE name = ?", (settled.name,)).fetchall()
        before: dict[str, Any] = json.loads(told[0][0]) if told else {"report": None, "judged": False}
        old = [uid for uid in json.loads(rows[0][0]) if uid not in objects] if rows else []
        reports = [each for each in (_reference(before["report"]), settled.report) if each is not None]
        if before["judged"] and settled.verdict != "judged":
            objects = [*old, *objects]
        else:
            connection.executemany("DELETE FROM objects WHERE uid = ?", [(uid,) for uid in old])
            before["judged"] = settled.verdict == "judged"
            reports.reverse()
        # Whichever stands, destinations may have the other: the next one replaces both.
        before["report"] = asdict(reports[0].beside(*reports[1:])) if reports else None
        connection.execute(
            "UPDATE series SET state = ?, code = ?, objects = ?, owed = ?, unwritten = ?, changed_at = ?,"
            " expires_at = ? WHERE name = ?",
            (
                *(settled.verdict, settled.code, json.dumps(objects), owed, json.dumps(settled.unwritten)),
                *(now, expires_at, settled.name),
            ),
        )
        connection.execute(
            "INSERT INTO known_series VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
            " instances = excluded.instances, report = excluded.report, expires_at = excluded.expires_at",
            (settled.name, json.dumps(sorted(settled.instances)), json.dumps(before), now + KNOWN_S),
        )


def _reference(told: dict[str, Any] | None) -> ReportReference | None:
    """A reference as `asdict` writes it; what an older version wrote knows of no earlier ones."""
    if told is None:
        return None
    earlier = (_reference(each) for each in told.get("earlier", ()))
    return ReportReference(**{**told, "earlier": tuple(each for each in earlier if each is not None)})


def one_of(values: Sequence[str]) -> str:
    """The places of values within an SQL list; SQL knows none that is empty."""
    return ", ".join("?" * len(values)) or "NULL"


def _standing(
    place: Literal["waiting", "judging"] | None,
    state: str,
    code: str,
    *,
    owed: bool,
    waiting: Mapping[str, int],
    refused: Sequence[str],
) -> tuple[State, str]:
    """The state of a series and its code, from where it is, what was noted, and what was delivered."""
    if place is not None:
        return place, ""
    match state:
        case "received":
            return "failed", code or DROPPED
        case "judged" if waiting:
            return "delivering", code
        case "judged" if refused:
            return "failed", REFUSED
        case "judged":
            return ("delivered" if owed else "judged"), code
        case "unfit" | "left_out":
            return state, code
        case _:
            return "failed", code
