"""What an install is said to hold, on one of two small packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.install_size import BEGIN, CONTEXT, END, Install, Traced, figures, filled, measure, read_trace
from tests.test_packaging import read, stages

BLOCK = 4096  # at least what a file of a byte takes


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """`used` asks for `idle` and, for another extra than the one installed, for `absent`."""
    site = tmp_path / "lib" / "site-packages"
    for name, requires in (("used", ("idle>=1", "absent; extra == 'other'")), ("idle", ())):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_bytes(b"#" * BLOCK)
        (site / name / "__init__.pyc").write_bytes(b"#" * BLOCK)
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0", *(f"Requires-Dist: {r}" for r in requires)]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        files = [f"{name}/__init__.py", f"{name}/__init__.pyc", f"{name}/taken_away.so"]
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    return site


def trace(start: list[Path], end: list[Path]) -> Traced:
    return Traced(frozenset(path.resolve() for path in start), frozenset(path.resolve() for path in start + end))


def measured(site: Path, *traces: Traced) -> Install:
    return measure(site.parents[1], site, traces)


def test_sizes_are_those_of_the_files_that_are_there_without_byte_code(site: Path) -> None:
    install = measured(site, trace([], []))
    assert [(each.name, each.version, each.mb) for each in install.packages] == [
        ("idle", "1.0", BLOCK / 1e6),
        ("used", "1.0", BLOCK / 1e6),
    ]
    assert install.bytecode_mb == 2 * BLOCK / 1e6
    assert 2 * BLOCK / 1e6 < install.total_mb < 20 * BLOCK / 1e6


def test_a_package_is_imported_when_any_process_imported_a_file_of_it(site: Path) -> None:
    used, idle = site / "used" / "__init__.py", site / "idle" / "__init__.py"
    assert [each.imported for each in measured(site, trace([used], [])).packages] == ["never", "at start"]
    assert [each.imported for each in measured(site, trace([], [used]), trace([idle], [])).packages] == [
        "at start",
        "by a request",
    ]


def test_who_asks_for_a_package_is_said_and_who_never_imports_it(site: Path) -> None:
    install = measured(site, trace([site / "used" / "__init__.py"], []))
    assert {each.name: each.asked_for_by for each in install.packages} == {"used": (), "idle": ("used",)}
    assert [each.name for each in install.unused] == ["idle"]
    assert "Never imported by a serving process: idle." in figures(install, [])


def test_a_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text(json.dumps({"start": ["/a.py"], "end": ["/a.py", "/b.py"]}))
    assert read_trace(path) == Traced(frozenset({Path("/a.py")}), frozenset({Path("/a.py"), Path("/b.py")}))


def test_only_what_is_between_the_marks_is_replaced() -> None:
    assert filled(f"before {BEGIN} old {END} after", "new") == f"before {BEGIN}\n\nnew\n\n{END} after"
    with pytest.raises(ValueError, match="make install-size"):
        filled("no marks", "new")


def test_the_install_is_built_from_what_the_image_is_built_from() -> None:
    copied = [
        source
        for instruction, arguments in stages(read("Dockerfile"))["build-serve"]
        if instruction == "COPY"
        for source in arguments.split()[:-1]
    ]
    assert {source.removesuffix("/build.sh") for source in copied} == set(CONTEXT)
