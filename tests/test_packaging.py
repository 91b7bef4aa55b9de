"""What is committed to build, install and ship: locks, pyproject, Makefile, Dockerfile, documents."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import app
from app.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[1]
LOCKS = ("serve", "full", "dev")
EXTRAS = {
    "serve": {"openvino", "dimse", "doors"},
    "full": {"openvino", "dimse", "doors", "tensorflow", "train"},
    "dev": {"batch", "openvino", "dimse", "doors", "tensorflow", "train", "dev"},
}
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)(?:\[(?P<extras>[a-z0-9,-]+)\])?==(?P<version>[^ ;\\]+)", re.MULTILINE)
# Locks and build files name packages; whoever installs names the index.
INDEX_OPTION = re.compile(r"--(?:extra-)?index-url|--find-links|--trusted-host")
ADDRESS = re.compile(r"\b(https?|file|git\+\w+)://")
OWN_ADDRESS = "127.0.0.1"


def read(path: str) -> str:
    return (REPOSITORY / path).read_text("utf-8")


def pyproject() -> dict[str, Any]:
    return tomllib.loads(read("pyproject.toml"))


def lock_entries(name: str) -> list[str]:
    """The logical lines of a lock: one pinned package each, its hashes joined to it, comments left out."""
    joined = re.sub(r"\\\n\s*", "", read(f"requirements/{name}.lock"))
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def pins(name: str) -> dict[str, set[str]]:
    """Package to its versions: several where markers tell them apart."""
    found: dict[str, set[str]] = {}
    for entry in lock_entries(name):
        matched = PIN.match(entry)
        assert matched, f"not a pin: {entry[:80]}"
        found.setdefault(canonicalize_name(matched["name"]), set()).add(matched["version"])
    return found


def requirements(lock: str) -> list[Requirement]:
    """What pyproject.toml asks for in one lock, less what names Lungscope itself."""
    project = pyproject()["project"]
    wanted = list(project["dependencies"])
    for extra in EXTRAS[lock]:
        wanted += project["optional-dependencies"][extra]
    return [r for r in map(Requirement, wanted) if r.name != project["name"]]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_is_hashed(lock: str) -> None:
    entries = lock_entries(lock)
    assert len(entries) > 25
    assert [e for e in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", e)] == []


@pytest.mark.parametrize("lock", ["serve", "full"])
def test_smaller_locks_hold_nothing_that_the_dev_lock_does_not(lock: str) -> None:
    assert set(lock_entries(lock)) <= set(lock_entries("dev"))


def test_extras_that_packages_ask_of_each_other_stay_in_the_lock() -> None:
    """pip takes `name[extra]` for another package than a pinned `name`, and looks for its newest release, whose hash no
    lock knows."""
    locked = pins("dev")
    pinned = [matched for entry in lock_entries("dev") if (matched := PIN.match(entry))]
    with_extras = {(canonicalize_name(m["name"]), extra) for m in pinned for extra in (m["extras"] or "").split(",")}
    asked = {
        (canonicalize_name(requirement.name), extra)
        for distribution in metadata.distributions()
        if canonicalize_name(distribution.name) in locked
        for requirement in map(Requirement, distribution.requires or ())
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        for extra in requirement.extras
    }
    assert ("coverage", "toml") in asked
    assert asked <= with_extras


@pytest.mark.parametrize("lock", LOCKS)
def test_pins_satisfy_pyproject(lock: str) -> None:
    locked = pins(lock)
    for requirement in [*requirements(lock), Requirement(read("requirements/build.in").strip())]:
        versions = locked.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement.name} is not in {lock}.lock"
        assert all(requirement.specifier.contains(Version(v)) for v in versions), f"{requirement} against {versions}"


def test_what_serving_does_not_need_is_not_in_its_lock() -> None:
    unused = {"tensorflow", "tensorflow-cpu", "keras", "matplotlib", "scikit-learn", "h5py", "grpcio", "websockets"}
    assert pins("serve").keys().isdisjoint(unused | {"watchfiles", "pyyaml", "pytest", "playwright", "uv"})


@pytest.mark.parametrize(("lock", "runtimes"), [("serve", {"openvino"}), ("full", {"openvino", "tensorflow-cpu"})])
def test_each_lock_brings_its_runtimes(lock: str, runtimes: set[str]) -> None:
    assert pins(lock).keys() & {"openvino", "tensorflow-cpu", "torch", "onnxruntime"} == runtimes


def test_torch_is_outside_the_locks() -> None:
    assert all("torch" not in pins(lock) for lock in LOCKS)


@pytest.mark.parametrize(
    "path",
    [
        "Dockerfile",
        "Makefile",
        "pyproject.toml",
        "requirements/build.in",
        "requirements/lock.sh",
        "deploy/container/build.sh",
        *(f"requirements/{lock}.lock" for lock in LOCKS),
    ],
)
def test_no_file_names_a_package_index(path: str) -> None:
    text = read(path)
    assert [line for line in text.splitlines() if ADDRESS.search(line) and OWN_ADDRESS not in line] == []
    assert INDEX_OPTION.findall(text) == []


def test_the_version_has_one_source() -> None:
    assert "version" not in pyproject()["project"]
    assert pyproject()["project"]["dynamic"] == ["version"]
    assert pyproject()["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "app.__version__"}
    assert str(Version(app.__version__)) == app.__version__
    assert f'org.opencontainers.image.version="{app.__version__}"' in read("Dockerfile")
    assert f"## [{app.__version__}]" in read("CHANGELOG.md")


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of every line, continuation lines joined."""
    joined = re.sub(r"\\\n\s*", " ", dockerfile)
    lines = [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def stages(dockerfile: str) -> dict[str, list[tuple[str, str]]]:
    """The instructions of each stage by its name, those of the stage it builds on first."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for instruction, arguments in instructions(dockerfile):
        if instruction == "FROM":
            base, _, name = arguments.partition(" AS ")
            found[name] = list(found.get(base, []))
        elif name:
            found[name].append((instruction, arguments))
    return found


def test_the_dockerfile_runs_nothing_but_the_build_script() -> None:
    runs = [arguments for instruction, arguments in instructions(read("Dockerfile")) if instruction == "RUN"]
    step = re.compile(
        r'^\["sh", "deploy/container/build\.sh", "(builder|serve|postgresql|full|package)", "/opt/lungscope"\]$'
    )
    assert len(runs) == 6
    assert [run for run in runs if not step.match(run)] == []


def test_serve_is_the_default_image_and_both_run_unprivileged() -> None:
    by_name = stages(read("Dockerfile"))
    assert list(by_name)[-1] == "serve"
    for name in ("serve", "full"):
        stage = by_name[name]
        users = [arguments for instruction, arguments in stage if instruction == "USER"]
        assert users == ["10001:10001"]
        assert stage[-1][0] == "USER"
        assert "RUN" not in {instruction for instruction, _ in stage}
        assert {"HEALTHCHECK", "EXPOSE", "CMD", "LABEL"} <= {instruction for instruction, _ in stage}


def test_the_build_context_holds_what_the_dockerfile_copies() -> None:
    admitted = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    for instruction, arguments in instructions(read("Dockerfile")):
        if instruction != "COPY" or arguments.startswith("--from="):
            continue
        for source in arguments.split()[:-1]:
            assert any(source == a or source.startswith(f"{a}/") for a in admitted), f"{source} is not sent"


def test_every_setting_is_documented_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(LUNGSCOPE_[A-Z_]+)` \| ([^|]*) \|", read("docs/settings.md"), re.MULTILINE))
    assert rows.keys() == {f"LUNGSCOPE_{name.upper()}" for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        if isinstance(default, int | str):
            shown = str(default).lower() if isinstance(default, bool) else default
            assert rows[f"LUNGSCOPE_{name.upper()}"].strip() == f"`{shown}`"


def test_every_decision_record_is_in_the_index() -> None:
    index = read("docs/decisions/README.md")
    records = sorted(p.name for p in (REPOSITORY / "docs" / "decisions").glob("[0-9]*.md"))
    assert re.findall(r"\((\d{4}-[a-z0-9-]+\.md)\)", index) == records
    for number, record in enumerate(records, start=1):
        text = read(f"docs/decisions/{record}")
        assert record.startswith(f"{number:04d}-")
        assert text.startswith(f"# {number:04d} ")
        assert [h for h in ("Context", "Choice", "Consequences") if f"\n## {h}\n" not in text] == []
