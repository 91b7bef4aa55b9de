"""The result store: finished result objects until they expire, and their pending deliveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.delivery.database.clock_steps import ClockReading
from app.delivery.database.series_states import KNOWN_S, Settled
from app.delivery.database.workitems import Workitems
from app.errors import SpoolFull
from app.reports.result import ObjectKind, ResultObject

REFUSED_CODE: Final = "refused"  # where the destination gave none
GIVEN_UP: Final = "given_up"  # by an operator
OWE: Final = "INSERT INTO deliveries (destination, uid, due_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
DROPPED_AT_ONCE: Final = 50  # results, when room is made: a transaction that keeps nobody waiting for long


@dataclass(frozen=True, slots=True)
class Due:
    """An object to deliver now, and the number of attempts so far."""

    uid: str
    content: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class Owed:
    """A result that a destination still has to get, or does not get: `code` says why, empty while it waits.

    `attempts` counts those that failed; `due_at` is `time.time()` of the next, None where there is none.
    """

    destination: str
    uid: str
    kind: ObjectKind
    attempts: int = 0
    due_at: float | None = None
    code: str = ""


class ResultStore(Workitems):
    """The database of results, of what became of each series, of jobs and workitems."""

    def put(
        self,
        claim: str,
        objects: Sequence[ResultObject],
        destinations: Mapping[ObjectKind, Sequence[str]],
        *,
        now: float,
        expires_at: float,
        settled: Settled | None = None,
    ) -> None:
        """Keep the results of one claim, note their deliveries to the destinations of their kind (or those of them that
        they are for) and what became of the series, all or nothing."""
        owed = [
            (name, item.uid, now)
            for item in objects
            for name in destinations.get(item.kind, ())
            if item.to is None or name in item.to
        ]
        with self._transaction() as connection:
            connection.execute("INSERT INTO judged VALUES (?, ?) ON CONFLICT DO NOTHING", (claim, expires_at))
            if settled is not None:
                uids = [item.uid for item in objects]
                self._settle_series(connection, settled, uids, len(owed), now=now, expires_at=expires_at)
            connection.executemany(
                "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (uid) DO UPDATE SET expires_at = excluded.expires_at",
                [(*_columns(item), expires_at) for item in objects],
            )
            connection.executemany(OWE, owed)

    def is_judged(self, claim: str) -> bool:
        """Whether the results of a claim are here, so that it need not be judged again."""
        return bool(self._rows("SELECT 1 FROM judged WHERE claim = ?", claim))

    def forget(self, claim: str) -> None:
        """Forget a claim whose series has left the spool."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM judged WHERE claim = ?", (claim,))

    def due(self, destination: str, now: float) -> Due | None:
        """The object that has waited longest for its next attempt."""
        rows = self._rows(
            "SELECT uid, content, attempts FROM deliveries JOIN objects USING (uid)"
            " WHERE destination = ? AND due_at <= ? ORDER BY due_at, deliveries.rowid LIMIT 1",
            destination,
            now,
        )
        return Due(*rows[0]) if rows else None

    def settle(
        self, destination: str, uid: str, *, refused: bool = False, code: str = "", expires_at: float | None = None
    ) -> None:
        """End a delivery; `code` says why it was refused. What is no DICOM and everybody has is deleted; clients can
        fetch a DICOM object until it expires, from now on at `expires_at` if that is sooner. What a destination refused
        stays until then anyway."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM deliveries WHERE destination = ? AND uid = ?", (destination, uid))
            if refused:
                connection.execute(
                    "INSERT INTO refused SELECT ?, uid FROM objects WHERE uid = ? ON CONFLICT DO NOTHING",
                    (destination, uid),
                )
                connection.execute(
                    "INSERT INTO refusals SELECT ?, uid, ? FROM objects WHERE uid = ?"
                    " ON CONFLICT (destination, uid) DO UPDATE SET code = excluded.code",
                    (destination, code or REFUSED_CODE, uid),
                )
            everybody = " uid = ? AND uid NOT IN (SELECT uid FROM deliveries UNION SELECT uid FROM refused)"
            connection.execute(f"DELETE FROM objects WHERE kind <> 'dicom' AND {everybody}", (uid,))
            connection.execute(
                f"INSERT INTO delivered SELECT uid FROM objects WHERE {everybody} ON CONFLICT DO NOTHING", (uid,)
            )
            if expires_at is not None:
                connection.execute(
                    f"UPDATE objects SET expires_at = ? WHERE expires_at > ? AND {everybody}",
                    (expires_at, expires_at, uid),
                )

    def postpone(self, destination: str, uid: str, due_at: float) -> None:
        """Count a failed attempt and set the time of the next."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET attempts = attempts + 1, due_at = ? WHERE destination = ? AND uid = ?",
                (due_at, destination, uid),
            )

    def owed(self) -> list[Owed]:
        """What waits for each destination, and what it refused or was not sent to it, the oldest first."""
        waiting = self._rows(
            "SELECT destination, uid, kind, attempts, due_at FROM deliveries JOIN objects USING (uid)"
            " ORDER BY destination, due_at"
        )
        ended = self._rows(
            "SELECT destination, uid, kind, coalesce(code, ?) FROM refused JOIN objects USING (uid)"
            " LEFT JOIN refusals USING (destination, uid) ORDER BY destination, objects.rowid",
            REFUSED_CODE,
        )
        return [*(Owed(*row) for row in waiting), *(Owed(row[0], row[1], row[2], code=row[3]) for row in ended)]

    def send_again(self, destination: str, uid: str, *, now: float) -> bool:
        """Have a result that waits, or was refused, sent at once; whether there is one."""
        with self._transaction() as connection:
            again = connection.execute(
                "DELETE FROM refused WHERE destination = ? AND uid = ?", (destination, uid)
            ).rowcount
            connection.execute("DELETE FROM refusals WHERE destination = ? AND uid = ?", (destination, uid))
            if again:
                connection.execute(OWE, (destination, uid, now))
            waits = connection.execute(
                "UPDATE deliveries SET attempts = 0, due_at = ? WHERE destination = ? AND uid = ?",
                (now, destination, uid),
            ).rowcount
        return bool(waits)

    def give_up(self, destination: str, uid: str) -> bool:
        """Send a result to this destination no more; whether it waited, or was refused."""
        if not any((each.destination, each.uid) == (destination, uid) for each in self.owed()):
            return False
        self.settle(destination, uid, refused=True, code=GIVEN_UP)
        return True

    def refused(self, destination: str) -> int:
        """The number of objects that a destination refused, or that an operator gave up."""
        ((count,),) = self._rows("SELECT count(*) FROM refused WHERE destination = ?", destination)
        return int(count)

    def expire(self, now: float) -> int:
        """Delete results that are too old; returns the number of deliveries that end with them."""
        with self._transaction() as connection:
            (undelivered,) = connection.execute(
                "SELECT count(*) FROM deliveries WHERE uid IN (SELECT uid FROM objects WHERE expires_at <= ?)", (now,)
            ).fetchone()
            for table in ("objects", "judged", "series", "known_series", "cases"):
                connection.execute(f"DELETE FROM {table} WHERE expires_at <= ?", (now,))
            self._expire_submissions(connection, now)
            self._expire_workitems(connection, now)
        return int(undelivered)

    def follow_clock(self, reading: ClockReading, *, now: float, keep_s: float) -> float:
        """Have everything expire as late as before the clock was set, `keep_s` from now at the latest (KNOWN_S what is
        remembered of series), and deliver at once what waits; returns by how many seconds it was set since any process
        looked."""
        with self._transaction() as connection:
            last = connection.execute("SELECT ahead_s FROM clock WHERE boot = ?", (reading.boot,)).fetchone()
            step_s = 0.0 if last is None else reading.step_since(ClockReading(reading.boot, *last))
            if last is None or step_s:
                connection.execute("DELETE FROM clock WHERE boot = ?", (reading.boot,))
                connection.execute("INSERT INTO clock VALUES (?, ?)", (reading.boot, reading.ahead_s))
            if step_s:
                later = max(step_s, 0.0)
                most_of = dict.fromkeys(("objects", "judged", "series", "submissions", "workitems"), now + keep_s)
                most_of |= dict.fromkeys(("known_series", "cases"), now + KNOWN_S)
                for table, most in most_of.items():
                    connection.execute(f"UPDATE {table} SET expires_at = expires_at + ?", (later,))
                    connection.execute(f"UPDATE {table} SET expires_at = ? WHERE expires_at > ?", (most, most))
                for table in ("deliveries", "pulls"):
                    connection.execute(f"UPDATE {table} SET due_at = ? WHERE due_at > ?", (now, now))
        return step_s

    def make_room(self, most_bytes: int) -> bool:
        """Whether the results take less than that; where not, after those have been deleted that were delivered, the
        oldest first."""
        while self.size() >= most_bytes:
            with self._transaction() as connection:
                gone = connection.execute(
                    "DELETE FROM objects WHERE uid IN"
                    " (SELECT uid FROM delivered JOIN objects USING (uid) ORDER BY expires_at LIMIT ?)",
                    (DROPPED_AT_ONCE,),
                ).rowcount
            if not gone:
                return False
        return True

    def require_room(self, most_bytes: int) -> None:
        """Raise SpoolFull unless there is room for the results of what comes."""
        if not self.make_room(most_bytes):
            raise SpoolFull(
                found=f"{self.size() >> 20} MB of results that wait to be delivered or to expire",
                expected=f"less than {most_bytes >> 20} MB",
                remedy="Try again later; the operator can look after the destinations, or raise LUNGSCOPE_RESULTS_MB.",
            )

    def waiting(self, destination: str) -> int:
        """The number of objects that wait for a destination."""
        ((count,),) = self._rows("SELECT count(*) FROM deliveries WHERE destination = ?", destination)
        return int(count)

    def find(self, study_uid: str | None = None, series_uid: str | None = None, uid: str | None = None) -> list[str]:
        """The UIDs of the DICOM objects of a study, of a series, or of all."""
        conditions, values = ["kind = 'dicom'"], []
        for column, value in (("study_uid", study_uid), ("series_uid", series_uid), ("uid", uid)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        query = f"SELECT uid FROM objects WHERE {' AND '.join(conditions)} ORDER BY rowid"
        return [row[0] for row in self._rows(query, *values)]

    def attributes(self, uid: str) -> str | None:
        """The attributes of one object; None after it has expired."""
        rows = self._rows("SELECT attributes FROM objects WHERE uid = ?", uid)
        return rows[0][0] if rows else None

    def content(self, uid: str) -> bytes | None:
        """The bytes of one object; None after it has expired."""
        rows = self._rows("SELECT content FROM objects WHERE uid = ?", uid)
        return rows[0][0] if rows else None


def _columns(item: ResultObject) -> tuple[object, ...]:
    return (item.uid, item.kind, item.study_uid, item.series_uid, item.attributes, item.content)
