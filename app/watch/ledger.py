"""What was judged and what others say of it, in a database that all workers share: bounded, and forgotten after a time.

It holds keyed hashes, days, probabilities and verdicts: no patient, no identifier and nothing of an image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from app.delivery.database.database import Database
from app.delivery.database.storage import Stored
from app.delivery.database.tables import Schema
from app.watch.drift import Reference
from app.watch.noted import Noted, What
from app.watch.sketch import FEATURES, Histogram, Placed, histogram

FEEDBACK: Final = "feedback.sqlite3"
Verdict: TypeAlias = Literal["malignant", "benign", "no_nodule"]
Source: TypeAlias = Literal["reader", "pathology"]
# Days are those since 1970, in UTC.
FIRST_TABLES: Final = """
CREATE TABLE IF NOT EXISTS judged (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, what TEXT NOT NULL, digest TEXT NOT NULL, probability REAL,
    called INTEGER, decision TEXT NOT NULL, day INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS judged_by_day ON judged (day);
CREATE TABLE IF NOT EXISTS aliases (
    alias TEXT PRIMARY KEY, number INTEGER NOT NULL REFERENCES judged ON DELETE CASCADE);
CREATE INDEX IF NOT EXISTS aliases_by_number ON aliases (number);
CREATE TABLE IF NOT EXISTS verdicts (
    number INTEGER NOT NULL REFERENCES judged ON DELETE CASCADE, source TEXT NOT NULL, verdict TEXT NOT NULL,
    day INTEGER NOT NULL, PRIMARY KEY (number, source));
CREATE TABLE IF NOT EXISTS counts (
    digest TEXT NOT NULL, feature TEXT NOT NULL, day INTEGER NOT NULL, bin INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (digest, feature, day, bin));
CREATE TABLE IF NOT EXISTS reference (
    digest TEXT NOT NULL, feature TEXT NOT NULL, bin INTEGER NOT NULL, count INTEGER NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (digest, feature, bin));
"""
# What pathology says counts, whenever it was said.
JOINED: Final = """
SELECT judged.name, what, digest, probability, called, decision, judged.day, reader.verdict, pathology.verdict
FROM judged LEFT JOIN verdicts AS reader ON reader.number = judged.number AND reader.source = 'reader'
LEFT JOIN verdicts AS pathology ON pathology.number = judged.number AND pathology.source = 'pathology'
WHERE coalesce(pathology.verdict, reader.verdict) IS NOT NULL
"""
NAMED: Final = """
SELECT number, what FROM judged
WHERE name = ? OR number = (SELECT number FROM aliases WHERE alias = ?) ORDER BY number LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Case:
    """Something judged of which there is a verdict: `name` is a keyed hash, `day` the one of the judgement."""

    name: str
    what: What
    digest: str
    probability: float | None
    called: bool | None
    decision: str
    day: int
    reader: Verdict | None
    pathology: Verdict | None

    @property
    def verdict(self) -> Verdict | None:
        """What counts: pathology before the reader."""
        return self.pathology or self.reader


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a verdict: whether it `changed` anything, what the thing is, and the verdict that counts now."""

    changed: bool
    what: What
    counts: Verdict | None
    source: Source | None


class Ledger(Database):
    """The database of judgements, verdicts and counts."""

    schema = Schema(FIRST_TABLES, "", Stored("feedback", "LUNGSCOPE_FEEDBACK_DIR", "the verdicts so far"), "feedback")

    def note(self, judged: Iterable[Noted], counts: Mapping[tuple[str, str, int, int], int], *, day: int) -> None:
        """Keep what was judged, and add to the counts by digest, feature, day and bin, all or nothing.

        What is judged again is remembered from that day on. An id that names something already goes on naming it.
        """
        with self._transaction() as connection:
            for each in judged:
                called = None if each.called is None else int(each.called)
                row = (each.name, each.what, each.digest, each.probability, called, each.decision, day)
                ((number,),) = connection.execute(
                    "INSERT INTO judged (name, what, digest, probability, called, decision, day)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET day = excluded.day"
                    " RETURNING number",
                    row,
                ).fetchall()
                named = [(alias, number) for alias in each.aliases]
                connection.executemany("INSERT INTO aliases VALUES (?, ?) ON CONFLICT DO NOTHING", named)
            connection.executemany(
                "INSERT INTO counts VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (digest, feature, day, bin) DO UPDATE SET count = counts.count + excluded.count",
                [(*key, count) for key, count in counts.items()],
            )

    def hear(self, name: str, source: Source, verdict: Verdict | None, *, day: int) -> Heard | None:
        """Keep a verdict on what has this name or alias, in place of an earlier one by the same source, or take that
        one back; None where nothing is known by the name."""
        with self._transaction() as connection:
            found = connection.execute(NAMED, (name, name)).fetchone()
            if found is None:
                return None
            number, what = found
            if verdict is None:
                change = connection.execute("DELETE FROM verdicts WHERE number = ? AND source = ?", (number, source))
            else:
                change = connection.execute(
                    "INSERT INTO verdicts VALUES (?, ?, ?, ?) ON CONFLICT (number, source) DO UPDATE"
                    " SET verdict = excluded.verdict, day = excluded.day WHERE verdicts.verdict <> excluded.verdict",
                    (number, source, verdict, day),
                )
            counts = connection.execute(
                "SELECT verdict, source FROM verdicts WHERE number = ? ORDER BY source = 'pathology' DESC", (number,)
            ).fetchone()
        return Heard(bool(change.rowcount), what, *(counts or (None, None)))

    def cases(self, digest: str | None = None) -> list[Case]:
        """Everything of which there is a verdict, by one bundle or by any, the oldest first."""
        of, values = ("", ()) if digest is None else (" AND digest = ?", (digest,))
        rows = self._rows(f"{JOINED}{of} ORDER BY judged.number", *values)
        return [
            Case(name, what, digest, probability, None if called is None else bool(called), *rest)
            for name, what, digest, probability, called, *rest in rows
        ]

    def judged(self, digest: str) -> dict[What, int]:
        """How many findings and scans of a bundle are remembered."""
        return dict(self._rows("SELECT what, count(*) FROM judged WHERE digest = ? GROUP BY what", digest))

    def days(self, digest: str, feature: str, *, since: int) -> dict[int, Histogram]:
        """The histogram of each day of a feature, after a day."""
        rows = self._rows(
            "SELECT day, bin, count FROM counts WHERE digest = ? AND feature = ? AND day > ?", digest, feature, since
        )
        days: dict[int, dict[int, int]] = {}
        for day, place, count in rows:
            days.setdefault(day, {})[place] = count
        return {day: histogram(counts, FEATURES[feature]) for day, counts in days.items()}

    def reference(self, digest: str, feature: str) -> Reference | None:
        """The reference of a feature; None while there is none."""
        query = "SELECT until, bin, count FROM reference WHERE digest = ? AND feature = ?"
        rows = self._rows(query, digest, feature)
        if not rows:
            return None
        return Reference(rows[0][0], histogram({place: count for _, place, count in rows}, FEATURES[feature]))

    def keep_reference(self, digest: str, feature: str, reference: Reference) -> None:
        """Keep a reference, unless another worker has."""
        if self.reference(digest, feature) is None:
            rows = [
                (digest, feature, place, count, reference.until)
                for place, count in enumerate(reference.counts.tolist())
                if count
            ]
            with self._transaction() as connection:
                connection.executemany("INSERT INTO reference VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", rows)

    def begin_reference(self, *, day: int) -> None:
        """Forget all references and what was counted before a day: a new reference begins."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM reference")
            connection.execute("DELETE FROM counts WHERE day < ?", (day,))

    def forget(self, *, before: int, most: int) -> None:
        """Forget what was judged or counted before a day, and of what is left more than `most`: first that of which
        nobody has said anything, the oldest first."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM judged WHERE day < ?", (before,))
            connection.execute("DELETE FROM counts WHERE day < ?", (before,))
            ((found,),) = connection.execute("SELECT count(*) FROM judged").fetchall()
            connection.execute(
                "DELETE FROM judged WHERE number IN (SELECT number FROM judged"
                " ORDER BY number IN (SELECT number FROM verdicts), day, number LIMIT ?)",
                (max(0, found - most),),
            )


def counted(placed: Iterable[tuple[str, Sequence[Placed]]], day: int) -> dict[tuple[str, str, int, int], int]:
    """Counts by digest, feature, day and bin, from the bins of judgements with their digests."""
    total: dict[tuple[str, str, int, int], int] = {}
    for digest, bins in placed:
        for feature, place in bins:
            key = (digest, feature, day, place)
            total[key] = total.get(key, 0) + 1
    return total
