"""docs/api.md names every code that can come over the wire."""

from __future__ import annotations

import ast
from pathlib import Path

from app.api.problems import HTTP_CODES, INTERNAL, PROBLEMS
from app.inference.decision import OUT_OF_DISTRIBUTION
from app.inference.diagnose import NOT_A_NODULE
from tests.conftest import REPOSITORY


def quality_codes() -> set[str]:
    """The first argument of every QualityNote in app/."""
    codes = set()
    for path in (REPOSITORY / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "QualityNote":
                first = node.args[0]
                assert isinstance(first, ast.Constant), f"{Path(path).name}:{node.lineno}: a code is a literal"
                codes.add(str(first.value))
    return codes


def test_every_code_is_documented() -> None:
    page = (REPOSITORY / "docs" / "api.md").read_text("utf-8")
    codes = {kind.code for kind in (*PROBLEMS.values(), INTERNAL)} | set(HTTP_CODES.values())
    codes |= quality_codes() | {NOT_A_NODULE, OUT_OF_DISTRIBUTION}
    assert len(codes) > 40
    assert {code for code in codes if f"`{code}`" not in page} == set()
