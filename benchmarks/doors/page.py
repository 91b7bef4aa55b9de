"""The figures of every door as a table, between two marks of a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

BEGIN, END = "<!-- doors: make doors -->", "<!-- end of doors -->"
WORDS: Final = {
    "stow": "STOW-RS",
    "async": "`/v1/studies?async=true`",
    "cstore": "C-STORE",
    "pull": "`/v1/pull`",
    "worklist": "UPS-RS",
}


def table(doors: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A row for each door that was measured, all its runs together."""
    lines = [
        "| door | series | kills | one result | a stated failure | lost, doubled, partial, never settled "
        "| judged more than once | sent again to a destination |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_row(words, doors[door]) for door, words in WORDS.items() if door in doors)])


def _row(words: str, runs: Sequence[Mapping[str, Any]]) -> str:
    bad = Counter(each["kind"] for run in runs for each in run["bad"])
    cells = (
        words,
        sum(run["series"] for run in runs),
        sum(sum(run["kills"].values()) for run in runs),
        sum(run["one_result"] for run in runs),
        sum(len(run["stated_failures"]) for run in runs),
        ", ".join(f"{count} {kind}" for kind, count in sorted(bad.items())) or "none",
        sum(run["replaced"] for run in runs),
        sum(run["sent_again_to_destinations"] for run in runs),
    )
    return f"| {' | '.join(map(str, cells))} |"


def filled(page: str, text: str) -> str:
    """A page with its part between the marks replaced; raises ValueError without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
