"""What came of the mutants of a run: answers counted, faults by their cause, and the requests that caused them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.fuzz.mutants import Mutant, mutant
from benchmarks.fuzz.verdict import Reply

KEPT: Final = Path("build/fuzz")
EXAMPLES: Final = 8


@dataclass(slots=True)
class Tally:
    """Answers by door, Accept and status; faults by their cause, with the numbers of some mutants."""

    seed: int
    answers: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    numbers: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    resident_mb: list[int] = field(default_factory=list)
    slowest_s: float = 0.0

    def answer(self, sent: Mutant, reply: Reply) -> None:
        """Count one answer."""
        self.answers[sent.door, str(sent.accept), reply.status] += 1
        self.slowest_s = max(self.slowest_s, reply.seconds)

    def fault(self, cause: str, sent: Mutant | None) -> None:
        """Count one fault, and keep the request."""
        self.faults[cause] += 1
        if sent is None:
            return
        if sent.number not in self.numbers[cause]:
            self.numbers[cause].append(sent.number)
        keep(sent, cause)

    def by_door(self) -> dict[str, dict[str, dict[str, int]]]:
        """The answers, nested."""
        nested: dict[str, dict[str, dict[str, int]]] = {}
        for (door, accept, status), count in sorted(self.answers.items()):
            nested.setdefault(door, {}).setdefault(accept, {})[str(status)] = count
        return nested

    def causes(self) -> list[dict[str, Any]]:
        """Each cause with examples, the most frequent first."""
        return [
            {"cause": cause, "count": count, "examples": [self._example(n) for n in self.numbers[cause][:EXAMPLES]]}
            for cause, count in self.faults.most_common()
        ]

    def _example(self, number: int) -> str:
        made = mutant(self.seed, number)
        return f"{number}: {made.door}, {made.accept}; {', '.join(made.steps)}"


def keep(sent: Mutant, cause: str) -> None:
    """Write a request for later: its body, and beside it what else makes it."""
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{sent.seed}-{sent.number}.bin"
    path.write_bytes(sent.body)
    about = {"path": sent.path, "headers": sent.headers, "steps": sent.steps, "cause": cause}
    path.with_suffix(".json").write_text(json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8")
