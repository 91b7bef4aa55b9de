"""Known vulnerabilities of the locked packages: `python -m benchmarks.advisories` asks pip-audit, and dates its answer.

pip-audit asks a database of advisories, OSV or that of the package index. A mirror of an index may know the packages
and none of their advisories: so a database is believed only if it knows those of CANARY. Where none is, the last result
stays, and this says so; where there is no last one, the file says that nothing is known. With --strict that is a
failure.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parents[1]
LOCKS: Final = ("serve", "full", "dev")
SERVICES: Final = ("osv", "pypi")
CANARY: Final = "urllib3==1.24.1"  # CVE-2019-11324 and others: every database knows it
PATIENCE_S: Final = 600
FOUND: Final = 1  # pip-audit's exit code for vulnerable packages, and for its own errors
Package = Mapping[str, Any]  # name, version, and `vulns`, or `skip_reason` where nothing is known of it
# Of a file of requirements, by one of SERVICES: the packages; None where the database cannot be asked.
Audit = Callable[[Path, str], Sequence[Package] | None]


def audited(requirements: Path, service: str) -> Sequence[Package] | None:
    """What pip-audit says. Locks are whole: nothing is resolved, nothing installed."""
    pinned = "--require-hashes" if "--hash" in requirements.read_text("utf-8") else "--no-deps"
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(requirements), pinned, "--disable-pip"]
    command += ["--vulnerability-service", service, "--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        packages: list[Package] = json.loads(done.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return packages


def result(audit: Audit, now: datetime) -> dict[str, Any] | None:
    """The dated result of all locks by the first service that is believed; None where none is."""
    service = next((service for service in SERVICES if _knows_canary(audit, service)), None)
    if service is None:
        return None
    told = {lock: audit(REPOSITORY / "requirements" / f"{lock}.lock", service) for lock in LOCKS}
    answers = {lock: packages for lock, packages in told.items() if packages is not None}
    if len(answers) < len(LOCKS):
        return None
    return {
        "date": now.isoformat(timespec="seconds"),
        "command": "make advisories",
        "service": service,
        "packages": {lock: len(packages) for lock, packages in answers.items()},
        "unknown": sorted({each["name"] for packages in answers.values() for each in packages if "vulns" not in each}),
        "vulnerable": _vulnerable(answers),
    }


def _knows_canary(audit: Audit, service: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "canary.txt"
        path.write_text(f"{CANARY}\n", "ascii")
        return any(package.get("vulns") for package in audit(path, service) or ())


def _vulnerable(answers: Mapping[str, Sequence[Package]]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for lock, packages in answers.items():
        for package in packages:
            if advisories := package.get("vulns"):
                key = (package["name"], package["version"])
                row = {"name": key[0], "version": key[1], "locks": []}
                row["advisories"] = [{"id": each["id"], "fixed_in": each["fix_versions"]} for each in advisories]
                found.setdefault(key, row)["locks"].append(lock)
    return [found[key] for key in sorted(found)]


def not_asked(now: datetime) -> dict[str, Any]:
    """What stands in place of a first result."""
    why = "no database of advisories could be asked: nothing is known of these packages"
    return {
        "date": now.isoformat(timespec="seconds"),
        "command": "make advisories",
        "service": None,
        "not_audited": why,
    }


def said(found: dict[str, Any] | None, out: Path) -> str:
    """One line about a result, or about its absence."""
    if found is not None:
        names = ", ".join(f"{each['name']} {each['version']}" for each in found["vulnerable"]) or "none"
        return f"Packages with known vulnerabilities by {found['service']}: {names}. Written to {out}."
    last = json.loads(out.read_text("utf-8"))
    kept = f"the result of {last['date']} stays" if last["service"] else "there is no earlier result"
    tried = ", ".join(SERVICES)
    return (
        f"NOT AUDITED: no database of advisories ({tried}) can be reached that knows those of {CANARY}; {kept} ({out})."
    )


def main(arguments: Sequence[str] | None = None, audit: Audit = audited) -> int:
    """Ask, write, say; 1 for vulnerable packages, and with --strict where nobody can be asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs" / "results" / "advisories.json")
    parser.add_argument("--strict", action="store_true", help="fail where no database can be reached")
    options = parser.parse_args(arguments)
    now = datetime.now(UTC)
    found = result(audit, now)
    if found is not None or not options.out.is_file():
        options.out.write_text(json.dumps(found or not_asked(now), indent=1) + "\n", "utf-8")
    sys.stderr.write(said(found, options.out) + "\n")
    if found is None:
        return FOUND if options.strict else 0
    return FOUND if found["vulnerable"] else 0


if __name__ == "__main__":
    sys.exit(main())
