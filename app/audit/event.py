"""One event of the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Operation = Literal[
    "open_trail",
    "expire_trail",
    "gap_in_trail",
    "start",
    "stop",
    "judge_slice",
    "judge_series",
    "judge_spooled",
    "read_report",
    "run_network",
    "take_verdict",
    "change_versions",
    "store",
    "find_results",
    "retrieve_results",
    "deliver",
    "cancel",
    "pull",
    "change_workitem",
    "refuse",
]
SERVICE: Final = "service"  # who acts when nobody asked: the service itself


@dataclass(frozen=True, slots=True)
class Event:
    """What happened: `who` (the name of a caller or of the service) did which `operation`, and its `outcome`.

    `outcome` is `done`, or the code of the problem. `input` and `result` are digests, `models` digests by name/version.
    `subject` has the names of studies, series, accession numbers and instances that `app.security.pseudonyms` gives
    them, never these themselves. `details` are counts and codes, never text that was sent.
    """

    operation: Operation
    who: str = SERVICE
    outcome: str = "done"
    address: str | None = None
    request_id: str | None = None
    input: str | None = None
    result: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    decision: str | None = None
    subject: Mapping[str, str | list[str]] = field(default_factory=dict)
    destinations: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """Its members for a line of JSON, without empty ones."""
        named = (
            ("who", self.who),
            ("operation", self.operation),
            ("outcome", self.outcome),
            ("address", self.address),
            ("request_id", self.request_id),
            ("subject", self.subject),
            ("input", self.input),
            ("models", self.models),
            ("decision", self.decision),
            ("result", self.result),
            ("destinations", self.destinations),
            ("details", self.details),
        )
        return {name: value for name, value in named if value}
