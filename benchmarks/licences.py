"""Licences of all that the service's locks name: `python -m benchmarks.licences` writes docs/licences.md.

A licence is what the installed package says of itself: its SPDX expression (PEP 639), its classifiers, or the first
line of its licence field.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

REPOSITORY: Final = Path(__file__).resolve().parents[1]
LOCKS: Final = ("serve", "full")  # what is served by; the rest of dev is on no server
PIN: Final = re.compile(r"^([a-z0-9][a-z0-9.-]*)(?:\[[a-z0-9,-]+\])?==([^ ;\\]+)", re.MULTILINE)
CLASSIFIER: Final = "License :: "
MAX_LENGTH: Final = 80  # of a licence field: some hold the whole text
ELSEWHERE: Final = "not installed on Linux x86-64: not read"
# What packages say elsewhere than in their metadata, or that are for other systems.
SAID_ELSEWHERE: Final[Mapping[str, str]] = {
    "colorama": "BSD-3-Clause (for Windows, not installed here; its LICENSE.txt)",
    "namex": "Apache-2.0 (its LICENSE file)",
    "tensorflow": "Apache-2.0 (as tensorflow-cpu, for other systems)",
}
LICENCE_FILE: Final = re.compile(r"licen[cs]e|copying|notice|third.?party|3rd.?party", re.IGNORECASE)
COPYLEFT: Final = {
    "LGPL": re.compile(r"\bLGPL|GNU Lesser General Public", re.IGNORECASE),
    "GPL with the GCC runtime exception": re.compile(r"GCC Runtime Library Exception", re.IGNORECASE),
    "GPL": re.compile(r"\bGPL-|GNU General Public License", re.IGNORECASE),
    "MPL": re.compile(r"\bMPL-|Mozilla Public License", re.IGNORECASE),
}
HEAD: Final = """# Licences

What the service is made of beside its own code (Apache-2.0), by the locks that bring it: `serve` is the small install
and image, `full` adds TensorFlow and what trains. Versions are those of the locks; a licence is what the package says
of itself. Wheels bring libraries of others; the last column tells which licences with copyleft the package's own
licence files name, for these libraries or as a choice between several. They leave the service's own licence as it is;
whoever passes such a wheel on passes its terms on too. Written by `make licences`; nothing below is typed, and a test
compares it with the locks.

What is built into the viewer page is listed in `app/web/viewer/LICENCES.txt`. The tests of the page use axe-core
(MPL-2.0), which `viewer/package-lock.json` names; nothing of it is shipped.

| package | version | licence | locks | named in its files |
|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """One package of a lock, and its licence."""

    name: str
    version: str
    licence: str
    locks: tuple[str, ...]
    copyleft: tuple[str, ...]


def pins(lock: str) -> set[tuple[str, str]]:
    """Name and version of every package of a lock."""
    text = (REPOSITORY / "requirements" / f"{lock}.lock").read_text("utf-8")
    return {(canonicalize_name(name), version) for name, version in PIN.findall(text)}


def listed() -> list[Listed]:
    """Every package of the LOCKS, in the order of names."""
    by_lock = {lock: pins(lock) for lock in LOCKS}
    packages = sorted(set().union(*by_lock.values()))
    return [
        Listed(
            name,
            version,
            licence_of(name),
            tuple(lock for lock in LOCKS if (name, version) in by_lock[lock]),
            copyleft_in(name),
        )
        for name, version in packages
    ]


def licence_of(name: str) -> str:
    """What an installed package says of its licence."""
    if name in SAID_ELSEWHERE:
        return SAID_ELSEWHERE[name]
    try:
        told = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ELSEWHERE
    expression = "".join(told.get_all("License-Expression", []))
    classifiers = [text.rpartition(" :: ")[2] for text in told.get_all("Classifier", []) if text.startswith(CLASSIFIER)]
    field = "".join(told.get_all("License", [])).strip().splitlines() or [""]
    short = field[0] if len(field[0]) <= MAX_LENGTH else ""
    return expression or "; ".join(c for c in classifiers if c != "OSI Approved") or short or "not said"


def copyleft_in(name: str) -> tuple[str, ...]:
    """The kinds of copyleft that the licence files of an installed package name."""
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:
        return ()
    paths = [Path(str(file.locate())) for file in files if LICENCE_FILE.search(file.name)]
    texts = [
        path.read_text("utf-8", "replace") for path in paths if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    return tuple(kind for kind, words in COPYLEFT.items() if any(words.search(text) for text in texts))


def page(packages: Iterable[Listed]) -> str:
    """The page of docs."""
    rows = (
        f"| {each.name} | {each.version} | {each.licence} | {', '.join(each.locks)} | {', '.join(each.copyleft)} |"
        for each in packages
    )
    return HEAD + "\n".join(rows) + "\n"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=REPOSITORY / "docs" / "licences.md")
    parser.parse_args().page.write_text(page(listed()), "utf-8")


if __name__ == "__main__":
    main()
