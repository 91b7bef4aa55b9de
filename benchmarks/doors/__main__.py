"""What becomes of series while all is killed: `python -m benchmarks.doors [--door NAME] --out JSON` (make doors)

Small phantom series are sent by one door after the other to a service of two workers whose models are arithmetic. At
moments of the seed every process is killed (SIGKILL) and started again, and the destinations are down, slow, refuse or
break off. Each series must end in one current result at each destination, or in one stated failure. The exit code is 1
where one is lost, doubled, partial or never settled. What the file says of other doors and seeds stays in it. Logs,
spool and results of the last run lie in build/doors.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from benchmarks.doors.campaign import Outcome, Plan, campaign
from benchmarks.doors.page import filled, table
from benchmarks.doors.senders import SENDERS
from benchmarks.serving import machine
from benchmarks.serving.processes import REPOSITORY, leave_nothing_behind

SERIES: Final = 200
PER_KILL: Final = 10
FOLDER: Final = REPOSITORY / "build" / "doors"


def main(arguments: list[str] | None = None) -> int:
    """Run, and write after every door."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--door", choices=SENDERS, action="append", help="one of them; again for more; default: all")
    parser.add_argument("--series", type=int, default=SERIES, help="through each door")
    parser.add_argument("--kills", type=int, help=f"default: one for each {PER_KILL} series")
    parser.add_argument("--minutes", type=float, default=math.inf, help="after which no more are sent by a door")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--page", type=Path, help="Markdown file whose table is replaced")
    given = parser.parse_args(arguments)
    leave_nothing_behind()
    failed = False
    for door in given.door or SENDERS:
        facts = machine.facts()
        kills = given.kills or max(1, given.series // PER_KILL)
        plan = Plan(door, given.series, kills, given.seed, minutes=given.minutes)
        outcome = campaign(plan, _emptied(FOLDER / door))
        doors = _write(given.out, {**outcome.written(), "machine": facts}, door)
        if given.page is not None:
            given.page.write_text(filled(given.page.read_text(encoding="utf-8"), table(doors)), encoding="utf-8")
        _say(outcome)
        failed = failed or bool(outcome.bad)
    return int(failed)


def _emptied(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def _write(path: Path, found: dict[str, Any], door: str) -> dict[str, Any]:
    """Put what was found at a door beside what the file says of others and of other seeds; returns all of it."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    content[door] = [*(each for each in content.get(door, ()) if each["seed"] != found["seed"]), found]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return content


def _say(outcome: Outcome) -> None:
    written = outcome.written()
    sys.stdout.write(
        f"{outcome.plan.door}: {written['one_result']} of {written['series']} series have one result, "
        f"{len(written['stated_failures'])} a stated failure, {len(outcome.bad)} neither\n"
    )
    for each in outcome.bad:
        sys.stdout.write(f"  {each.series} {each.kind}: {each.detail}\n")


if __name__ == "__main__":
    sys.exit(main())
