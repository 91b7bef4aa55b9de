"""Requests that schemathesis makes from the service's OpenAPI document (make fuzz-schema):

`python -m benchmarks.guard.schema [--examples N] [--seed S] [--minutes M] [--out JSON]`

Of every operation, STOW included: no 500, no status that is not declared, no answer that is not as its schema says. The
exit code is 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.fuzz.service import running
from benchmarks.serving import machine
from benchmarks.serving.processes import REPOSITORY, leave_nothing_behind

TOOL: Final = REPOSITORY / "build/guard/schemathesis/bin/schemathesis"
HOOKS: Final = "benchmarks.guard.dicom_hooks"
REPORT: Final = REPOSITORY / "build/guard/schema.json"
CHECKS: Final = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_headers_conformance", "response_schema_conformance"),
)


def main() -> int:
    """Run, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=300, help="most requests of an operation in a phase")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    leave_nothing_behind()
    started = time.monotonic()
    with running(2) as service:
        command = [str(TOOL), "run", f"http://127.0.0.1:{service.port}/openapi.json", "--checks", ",".join(CHECKS)]
        command += ["--max-examples", str(given.examples), "--seed", str(given.seed), "--continue-on-failure"]
        command += ["--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all", "--no-color"]
        command += ["--report", "json", "--report-json-path", str(REPORT), "--generation-database", "none"]
        try:
            run = subprocess.run(
                ["env", f"SCHEMATHESIS_HOOKS={HOOKS}", *command],
                capture_output=True,
                text=True,
                check=False,
                timeout=60 * given.minutes,
            )
            said, code = run.stdout, run.returncode
        except subprocess.TimeoutExpired as late:
            said, code = (late.stdout or b"").decode(errors="replace"), 1
        failures, restarts = service.failures(), service.restarts()
    sys.stderr.write(said)
    result: dict[str, Any] = {
        "command": f"python -m benchmarks.guard.schema --examples {given.examples} --seed {given.seed}",
        "machine": machine.facts(),
        "seconds": round(time.monotonic() - started),
        "said": [line.strip() for line in said.splitlines() if "generated" in line or "Operations" in line],
        "exit code": code,
        "exceptions logged": sorted({failure.cause for failure in failures}),
        "worker restarts": restarts,
    }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    if given.out is not None:
        given.out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    return 1 if code or failures or restarts else 0


if __name__ == "__main__":
    sys.exit(main())
