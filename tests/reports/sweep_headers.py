"""Every field that results take over with every odd value, one at a time, through every rendering: make sweep-headers.

The tests put odd values into all fields of a file at once; this takes minutes, and asks dciodvfy, where it is there,
whether an object has an error that the same object of a flawless source has not.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from app.imaging.header import quiet_pydicom
from app.inference.bundle import Bundle, load_bundle
from tests.fakes import write_bundle
from tests.reports.odd_headers import AT_THE_DOOR, FIELDS, KINDS, check_every_rendering, judged, plain_slice, spoilt

TOLERATED: Final = "Illegal root for UID"  # numbers and dots all the same, and the study exists under that name


def failures(bundle: Bundle, fields: Sequence[str], dciodvfy: str | None) -> Iterator[str]:
    """A line for every field and value of which a rendering is wrong."""
    plain = plain_slice()
    known = complaints(dciodvfy, plain, bundle)
    for keyword in fields:
        for kind in KINDS:
            data = spoilt(plain, {keyword: kind})
            try:
                new = complaints(dciodvfy, data, bundle) - known
            # Anything at all that a writer raises is what is looked for.
            except Exception as error:
                new = {f"{type(error).__name__}: {error}"}
            yield from (f"{keyword}, {kind}: {line}" for line in sorted(new))


def complaints(dciodvfy: str | None, data: bytes, bundle: Bundle) -> set[str]:
    """Errors that dciodvfy reports on the objects of one source; none of one that is refused."""
    report = judged(data, bundle)
    files = [] if report is None else check_every_rendering(report)
    found: set[str] = set()
    for content in files if dciodvfy else ():
        with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
            file.write(content)
            file.flush()
            said = subprocess.run([str(dciodvfy), file.name], capture_output=True, text=True, check=False)
        lines = (said.stderr + said.stdout).splitlines()
        found |= {re.sub("[0-9]{6,}", "#", line) for line in lines if "Error" in line and TOLERATED not in line}
    return found


def main() -> int:
    """Print every failure; 1 when there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fields", nargs="*", default=[*FIELDS, *AT_THE_DOOR], help="keywords; all by default")
    fields = parser.parse_args().fields
    quiet_pydicom()
    dciodvfy = shutil.which("dciodvfy")
    with tempfile.TemporaryDirectory() as folder:
        found = 0
        for line in failures(load_bundle(write_bundle(Path(folder))), fields, dciodvfy):
            found += 1
            sys.stdout.write(f"{line}\n")
    judge = "dciodvfy" if dciodvfy else "dciodvfy (not installed, not asked)"
    judges = f"JSON, DICOM, FHIR, PNG and {judge}"
    sys.stdout.write(f"{len(fields)} fields x {len(KINDS)} values through {judges}: {found} failures\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
