"""What is written for people: every link leads somewhere, and every page can be reached from the first."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
START = DOCS / "README.md"
PAGES = sorted([*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")])
FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(?:(?!\1).)+?\1")
LINK = re.compile(r"\[(?:[^\[\]]|!?\[[^\]]*\](?:\([^)]*\))?)*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@cache
def text_of(page: Path) -> str:
    """The words of a page, without blocks of code."""
    text = page.read_text("utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return FENCE.sub("", text)


@cache
def anchors_of(page: Path) -> set[str]:
    """The anchors that a page gets from its headings, where the repository is shown as pages."""
    anchors: list[str] = []
    for heading in HEADING.findall(text_of(page)):
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        same = sum(re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", each) is not None for each in anchors)
        anchors.append(f"{anchor}-{same}" if same else anchor)
    return set(anchors)


def links_of(page: Path) -> list[str]:
    """What a page links to or shows, addresses of other places left out."""
    text = CODE.sub("", text_of(page))
    found = [*LINK.findall(text), *PICTURE.findall(text)]
    return [unquote(target) for target in found if not ELSEWHERE.match(target)]


def fault_of(page: Path, target: str) -> str | None:
    """What is wrong with a link; None where it leads somewhere within this repository."""
    path, _, anchor = target.partition("#")
    there = (page.parent / path).resolve() if path else page
    if not there.is_relative_to(REPOSITORY) or not there.exists():
        return "is not there"
    if anchor and there.suffix in (".md", ".ipynb") and anchor not in anchors_of(there):
        return "has no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    faults = {target: fault for target in links_of(page) if (fault := fault_of(page, target)) is not None}
    assert faults == {}


def test_every_page_can_be_reached_from_the_first() -> None:
    reached, waiting = set[Path](), [START]
    while waiting:
        page = waiting.pop()
        if page in reached or page not in PAGES:
            continue
        reached.add(page)
        waiting += [(page.parent / target.partition("#")[0]).resolve() for target in links_of(page)]
    assert {name(page) for page in PAGES if page.is_relative_to(DOCS)} <= {name(page) for page in reached}


def test_the_readme_leads_to_the_first_page() -> None:
    assert "docs/README.md" in links_of(REPOSITORY / "README.md")


def test_what_is_wrong_is_noticed(tmp_path: Path) -> None:
    assert fault_of(START, "no-such-page.md") == "is not there"
    assert fault_of(START, "../../elsewhere.md") == "is not there"
    assert fault_of(START, "settings.md#no-such-heading") == "has no such heading"
    (page := tmp_path / "page.md").write_text(
        "# A `code`: (1)\n## Again\n## Again\n"
        "[one](a.md) ![two](b.png) [![three](c.png)](d.md) `[no](e.md)` [far](https://example.org)\n"
        "```\n[no](f.md)\n```\n[four\nlines](g.md#x)\n"
    )
    assert sorted(set(links_of(page))) == ["a.md", "b.png", "c.png", "d.md", "g.md#x"]
    assert anchors_of(page) == {"a-code-1", "again", "again-1"}
