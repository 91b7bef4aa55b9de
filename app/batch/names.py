"""What the tables call a series, a study, an instance and a file: by keyed hashes, or as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from app.batch.index import Outcome
from app.security.pseudonyms import pseudonym

# Columns that name something of a patient, and the kinds under which the audit trail hashes them.
IDENTIFYING: Final = {"series": "series", "study": "study", "instance": "instance", "source": "source"}


@dataclass(frozen=True, slots=True)
class Names:
    """Names by the hash with this key; without a key, as they are."""

    key: bytes | None

    def of(self, outcome: Outcome) -> Outcome:
        """An outcome whose rows bear no other names."""
        return {
            table: [self._row(row) for row in rows] if isinstance(rows, list) else self._row(rows)
            for table, rows in outcome.items()
        }

    def _row(self, row: Mapping[str, object]) -> dict[str, object]:
        return {
            column: self._name(column, value) if column in IDENTIFYING and isinstance(value, str) else value
            for column, value in row.items()
        }

    def _name(self, column: str, value: str) -> str:
        if self.key is None:
            return value.encode("utf-8", "backslashreplace").decode()  # a path need not be UTF-8, a table is
        return pseudonym(self.key, IDENTIFYING[column], value)
