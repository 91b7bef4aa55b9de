"""Known vulnerabilities of the locked packages: `python -m benchmarks.advisories` asks pip-audit, and dates its answer.

pip-audit asks a database of advisories, OSV or that of the package index. Where neither can be reached the last result
stays, and this says so; with --strict that is a failure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
LOCKS: Final = ("serve", "full", "dev")
SERVICES: Final = ("osv", "pypi")
PATIENCE_S: Final = 600
FOUND: Final = 1  # pip-audit's exit code for vulnerable packages, and for its own errors
Audit = Callable[[str, str], dict[str, Any] | None]


def audited(lock: str, service: str) -> dict[str, Any] | None:
    """What pip-audit says of a lock by one service; None where it cannot be asked."""
    path = REPOSITORY / "requirements" / f"{lock}.lock"
    # The lock is whole: nothing is resolved, nothing installed.
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(path), "--require-hashes", "--disable-pip"]
    command += ["--vulnerability-service", service, "--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        answer: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return answer


def result(locks: Sequence[str], audit: Audit, now: datetime) -> dict[str, Any] | None:
    """The dated result of all locks by the first service that answers; None where none does."""
    for service in SERVICES:
        answers = {lock: audit(lock, service) for lock in locks}
        told = {lock: answer for lock, answer in answers.items() if answer is not None}
        if len(told) == len(locks):
            return {
                "date": now.isoformat(timespec="seconds"),
                "command": "make advisories",
                "service": service,
                "packages": {lock: len(answer["dependencies"]) for lock, answer in told.items()},
                "vulnerable": _vulnerable(told),
            }
    return None


def _vulnerable(answers: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for lock, answer in answers.items():
        for package in answer["dependencies"]:
            if advisories := package.get("vulns"):
                key = (package["name"], package["version"])
                row = {"name": key[0], "version": key[1], "locks": []}
                row["advisories"] = [{"id": each["id"], "fixed_in": each["fix_versions"]} for each in advisories]
                found.setdefault(key, row)["locks"].append(lock)
    return [found[key] for key in sorted(found)]


def said(found: dict[str, Any] | None, out: Path) -> str:
    """One line about a result, or about its absence."""
    if found is not None:
        names = ", ".join(f"{each['name']} {each['version']}" for each in found["vulnerable"]) or "none"
        return f"Packages with known vulnerabilities by {found['service']}: {names}. Written to {out}."
    last = json.loads(out.read_text("utf-8"))["date"] if out.is_file() else None
    kept = f"the result of {last} stays" if last else "there is no earlier result"
    return f"Not audited: no database of advisories can be reached ({', '.join(SERVICES)}); {kept} ({out})."


def main(arguments: Sequence[str] | None = None, audit: Audit = audited) -> int:
    """Ask, write, say; 1 for vulnerable packages, and with --strict where nobody answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "results" / "advisories.json")
    parser.add_argument("--strict", action="store_true", help="fail where no database can be reached")
    options = parser.parse_args(arguments)
    found = result(LOCKS, audit, datetime.now(UTC))
    sys.stderr.write(said(found, options.out) + "\n")
    if found is None:
        return FOUND if options.strict else 0
    options.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return FOUND if found["vulnerable"] else 0


if __name__ == "__main__":
    sys.exit(main())
