"""Size of the serving install by package, and what of it a service imports: `python -m benchmarks.install_size`

The install is built by the steps of the small container image (deploy/container/build.sh) from what its stage copies,
started, and asked for everything it answers. A package counts as imported when one of its files is a module of the
service's process, or of the supervisor's, by then. Byte-code is left out of every size.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final, Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tqdm import tqdm

from benchmarks import every_answer, traced_service
from benchmarks.every_answer import MB, Answered
from benchmarks.serving.processes import LOGS, REPOSITORY, Server, leave_nothing_behind
from benchmarks.serving.receiver import Receiver, receiving
from benchmarks.serving.service import eventually, free_port

MAX_MB: Final = 720  # of the whole install
LISTED_MB: Final = 1.0  # a package below it has no line of its own, unless nothing imports it
BLOCK_BYTES: Final = 512  # the unit of st_blocks (stat(2))
PATIENCE_S: Final = 120.0
LOG: Final = LOGS / "install-size.log"
# What the Dockerfile's serving stage copies.
CONTEXT: Final = ("deploy/container", "requirements/serve.lock", "pyproject.toml", "README.md", "LICENSE", "app")
EXTRA: Final = "openvino"  # requirements/serve.lock is compiled with it
STEPS: Final = ("builder", "serve", "package")
BEGIN, END = "<!-- install: make install-size -->", "<!-- end of install -->"

Imported = Literal["at start", "by a request", "never"]


@dataclass(frozen=True, slots=True)
class Package:
    """One distribution: its files' size on disk, when they are first imported, and the packages that ask for it."""

    name: str
    version: str
    mb: float
    imported: Imported
    asked_for_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Traced:
    """Files of the modules that a process had imported when it was ready, and when it ended."""

    start: frozenset[Path]
    end: frozenset[Path]


@dataclass(frozen=True, slots=True)
class Install:
    """All of it: MB of the whole tree and of its byte-code, which is not in the other, and the packages."""

    total_mb: float
    bytecode_mb: float
    packages: tuple[Package, ...]

    @property
    def unused(self) -> tuple[Package, ...]:
        """What no serving process imports."""
        return tuple(package for package in self.packages if package.imported == "never")


def build(prefix: Path, context: Path) -> Path:
    """Install for serving into `prefix` from a copy of the build context; returns its folder of packages."""
    for name in CONTEXT:
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / name, context / name)
    for step in STEPS:
        say(f"building: {step}")
        command = [
            "env",
            f"PYTHON={sys.executable}",
            f"PIP={sys.executable} -m pip -qq",
            "sh",
            "deploy/container/build.sh",
        ]
        subprocess.run([*command, step, str(prefix)], cwd=context, stdout=subprocess.DEVNULL, check=True)
    (site,) = prefix.glob("lib/python3*/site-packages")
    return site


def measure(prefix: Path, site: Path, traces: Sequence[Traced]) -> Install:
    """Sizes of an install, and what of it some processes imported."""
    found = list(distributions(path=[str(site)]))
    asking = _asking(found)
    packages = [
        Package(name := canonicalize_name(each.name), each.version, *_of(each, traces), asking.get(name, ()))
        for each in found
    ]
    files = [path for path in prefix.rglob("*") if path.is_file() and not path.is_symlink()]
    return Install(
        total_mb=on_disk_mb(path for path in files if path.suffix != ".pyc"),
        bytecode_mb=on_disk_mb(path for path in files if path.suffix == ".pyc"),
        packages=tuple(sorted(packages, key=lambda package: (-package.mb, package.name))),
    )


def on_disk_mb(files: Iterable[Path]) -> float:
    """What files take on the disk, in whole blocks."""
    return sum(path.stat().st_blocks * BLOCK_BYTES for path in files) / MB


def _of(distribution: Distribution, traces: Sequence[Traced]) -> tuple[float, Imported]:
    """Size, and when it is first imported. Files that were taken away after the installation do not count."""
    listed = {Path(str(distribution.locate_file(file))).resolve() for file in distribution.files or ()}
    files = {path for path in listed if path.suffix != ".pyc" and path.is_file()}
    imported: Imported = "never"
    if any(files & trace.start for trace in traces):
        imported = "at start"
    elif any(files & trace.end for trace in traces):
        imported = "by a request"
    return on_disk_mb(files), imported


def _asking(found: Iterable[Distribution]) -> dict[str, tuple[str, ...]]:
    """For each package those that require it here."""
    asking: dict[str, list[str]] = {}
    for each in found:
        for requirement in map(Requirement, each.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": EXTRA}):
                asking.setdefault(canonicalize_name(requirement.name), []).append(canonicalize_name(each.name))
    return {name: tuple(sorted(set(by))) for name, by in asking.items()}


@contextmanager
def running(prefix: Path, trace: Path, workers: int, **environment: str) -> Iterator[Server]:
    """A ready service of the install, which writes what its first process imported to `trace`."""
    port = free_port()
    # Isolated: nothing of this repository is imported but what the install holds.
    command = [str(prefix / "bin" / "python"), "-I", str(Path(traced_service.__file__)), str(trace)]
    models = str(REPOSITORY / "models")
    options = ["serve", "--port", str(port), "--workers", str(workers)]
    with Server([*command, *options], port, LOG, {"LUNGSCOPE_MODELS_DIR": models, **environment}) as server:
        server.wait_for("/health/ready", PATIENCE_S)
        os.kill(server.process.pid, signal.SIGUSR1)
        yield server


def read_trace(path: Path) -> Traced:
    """What `traced_service` has written."""
    lists: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    start, end = (frozenset(Path(file).resolve() for file in lists[name]) for name in ("start", "end"))
    return Traced(start, end)


def ask_everything(server: Server, receiver: Receiver) -> list[Answered]:
    """Every kind of request, twice; ends when both destinations have got results. Returns those about images."""
    asked = [*every_answer.slices(), *every_answer.series(), every_answer.stored()]
    answers = [every_answer.ask(server, each) for each in tqdm(asked, desc="asking", file=sys.stderr)]
    eventually(lambda: every_answer.has_results(server.port))
    answers += [every_answer.ask(server, each) for each in every_answer.results()]
    for each in (*every_answer.syntaxes(), *every_answer.pages()):
        every_answer.ask(server, each)
    wanted = {every_answer.RELATED.split(";")[0], every_answer.FHIR}
    eventually(lambda: wanted <= {headers["Content-Type"].split(";")[0] for _, headers, _ in receiver.requests})
    return answers


def trace(prefix: Path, scratch: Path) -> tuple[list[Traced], list[Answered]]:
    """What a process that serves imports and the parent of two workers, and what the answers took."""
    serving, supervising = scratch / "serving.json", scratch / "supervising.json"
    with receiving(Receiver()) as receiver:
        environment = {
            "LUNGSCOPE_SPOOL_DIR": str(scratch / "spool"),
            "LUNGSCOPE_SETTLE_SECONDS": "0",
            "LUNGSCOPE_PACS_URL": receiver.url,
            "LUNGSCOPE_FHIR_URL": receiver.url,
        }
        with running(prefix, serving, 1, **environment) as server:
            answers = ask_everything(server, receiver)
    with running(prefix, supervising, 2):
        pass
    return [read_trace(serving), read_trace(supervising)], answers


def figures(install: Install, answers: Sequence[Answered]) -> str:
    """Tables in Markdown."""
    listed = [package for package in install.packages if package.mb >= LISTED_MB or package in install.unused]
    others = [package for package in install.packages if package not in listed]
    unused = ", ".join(package.name for package in install.unused) or "none"
    verdict = "met" if install.total_mb <= MAX_MB else "**missed**"
    lines = [
        f"{install.total_mb:.0f} MB in {len(install.packages)} packages (≤ {MAX_MB} MB: {verdict}), and "
        f"{install.bytecode_mb:.0f} MB of byte-code. Never imported by a serving process: {unused}.",
        "",
        "| package | MB | imported | asked for by |",
        "|---|---|---|---|",
        *(f"| {p.name} {p.version} | {p.mb:.1f} | {p.imported} | {', '.join(p.asked_for_by)} |" for p in listed),
        f"| {len(others)} others | {sum(p.mb for p in others):.1f} | | {', '.join(p.name for p in others)} |",
        "",
        "| answer | first in a process, ms | next, ms | resident afterwards, MB |",
        "|---|---|---|---|",
        *(f"| {a.what} | {a.first_ms:.0f} | {a.again_ms:.0f} | {a.resident_mb:.0f} |" for a in answers),
    ]
    return "\n".join(lines)


def filled(page: str, text: str) -> str:
    """A page with its part between the marks replaced; raises ValueError without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def say(text: str) -> None:
    """What is going on, on standard error."""
    sys.stderr.write(text + "\n")


def main() -> int:
    """Build, measure, write; 1 when the install is too large or holds what is never imported."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    parser.add_argument("--page", type=Path, help="Markdown file whose figures are replaced")
    given = parser.parse_args()
    leave_nothing_behind()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        prefix = scratch / "lungscope"
        site = build(prefix, scratch / "context")
        traces, answers = trace(prefix, scratch)
        install = measure(prefix, site, traces)
    text = figures(install, answers)
    sys.stdout.write(text + "\n")
    record = {"limit_mb": MAX_MB, **asdict(install), "answers": [asdict(answer) for answer in answers]}
    given.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if given.page is not None:
        given.page.write_text(filled(given.page.read_text(encoding="utf-8"), text), encoding="utf-8")
    return int(install.total_mb > MAX_MB or bool(install.unused))


if __name__ == "__main__":
    sys.exit(main())
