#!/usr/bin/env python3
"""Has Orthanc send again what it could not send while Lungscope was down. To be run every minute; needs only Python.

Orthanc keeps a job that failed (JobsHistorySize says how many), but does not try it again. A job's pause doubles, from
a minute to an hour, and it is given up after three days.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from datetime import datetime

ORTHANC = os.environ.get("ORTHANC_URL", "http://127.0.0.1:8042")
LUNGSCOPE = os.environ.get("LUNGSCOPE_URL", "http://127.0.0.1:8000")
TIME = "%Y%m%dT%H%M%S.%f"
FIRST_PAUSE_S = float(os.environ.get("RESEND_SECONDS", "60"))
MAX_PAUSE_S = 3600.0
GIVEN_UP_AFTER_S = 72 * 3600.0
TIMEOUT_S = 30


def is_due(job: dict, now: datetime) -> bool:
    """Whether a job is one of ours that failed, and its pause is over: as long as it had been tried until then."""
    if job["Type"] != "DicomWebStowClient" or job["State"] != "Failure":
        return False
    created, failed = (datetime.strptime(job[key], TIME) for key in ("CreationTime", "CompletionTime"))
    tried_s = (failed - created).total_seconds()
    pause_s = min(MAX_PAUSE_S, max(FIRST_PAUSE_S, tried_s))
    return tried_s < GIVEN_UP_AFTER_S and (now - failed).total_seconds() >= pause_s


def main() -> int:
    """Resubmit what is due, if Lungscope is there to take it."""
    try:
        urllib.request.urlopen(f"{LUNGSCOPE}/health/ready", timeout=TIMEOUT_S).close()
    except (urllib.error.URLError, TimeoutError):
        return 0  # it would fail again
    with urllib.request.urlopen(f"{ORTHANC}/jobs?expand", timeout=TIMEOUT_S) as answer:
        jobs = json.load(answer)
    # Orthanc's times are in UTC, and so is its clock here: all of them come from it.
    for job in (each for each in jobs if is_due(each, datetime.strptime(each["Timestamp"], TIME))):
        urllib.request.urlopen(f"{ORTHANC}/jobs/{job['ID']}/resubmit", data=b"", timeout=TIMEOUT_S).close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
