"""What DESIGN says about the code's layers, enforced on its syntax: imports inside functions count too."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

import pytest

REPOSITORY: Final = Path(__file__).resolve().parents[1]
MAX_MODULE_LINES: Final = 400
MAX_APP_MODULE_LINES: Final = 350
MAX_SCRIPT_LINES: Final = 40
FORBIDDEN_NAMES: Final = {"utils", "util", "helpers", "helper", "common", "misc"}

SHARED: Final = {"errors", "locks", "private_files", "telemetry"}
CORE: Final = SHARED | {"explain", "imaging", "inference", "reports"}
APP: Final = CORE | {
    "guidelines",
    "comparison",
    "text",
    "cell",
    "settings",
    "security",
    "server",
    "delivery",
    "intake",
    "dimse",
    "machine",
    "judgement",
    "versions",
    "audit",
    "watch",
    "signing",
    "api",
    "web",
    "main",
}
# A layer not named here may not exist: add it to the design first.
MAY_IMPORT: Final[dict[str, set[str]]] = {
    "app": set(),  # the package itself holds its version
    "errors": set(),
    "private_files": {"errors"},
    "locks": {"private_files"},
    "signing": {"errors"},
    "telemetry": set(),
    "web": set(),
    "machine": set(),
    "settings": {"errors", "machine"},
    "security": {"errors", "private_files"},
    "imaging": {"errors"},
    "cell": {"imaging", "errors"},
    "server": SHARED,
    "audit": {"errors", "locks", "private_files", "security", "signing"},
    "inference": {"imaging", "signing", "telemetry", "errors"},
    "guidelines": {"inference"},  # plain data types of `prediction` alone: a test says so
    "comparison": {"inference", "imaging", "errors"},
    "explain": {"guidelines", "inference", "imaging", "errors"},
    "reports": {"guidelines", "comparison", "inference", "imaging", "errors"},
    "text": {"inference", "errors"},
    "delivery": SHARED | {"reports", "inference"},
    "intake": {"delivery", "imaging", "errors"},
    "dimse": {"intake", "delivery", "reports", "imaging", "audit", "telemetry", "errors"},
    "judgement": {
        *("reports", "explain", "guidelines", "comparison", "text", "inference", "imaging", "audit", "telemetry"),
        "errors",
    },
    "watch": {"judgement", "delivery", "reports", "inference", "imaging", "security", "telemetry", "errors"},
    "versions": {"judgement", "inference", "settings", "locks", "private_files", "telemetry", "errors"},
    "api": CORE
    | {"guidelines", "text", "judgement", "audit", "signing", "delivery", "security", "settings", "server", "web"}
    | {"intake", "dimse", "watch", "versions"},
    "batch": {"judgement", "inference", "imaging", "security", "private_files", "errors"},
    "main": APP,
    "cli": APP - {"api", "web"} | {"batch", "training"},
    "phantoms": {"imaging"},
    "training": {"imaging", "inference", "text", "errors", "phantoms"},
    "scripts": APP | {"training", "benchmarks", "phantoms"},
    "benchmarks": APP | {"batch", "cli", "training", "phantoms"},
}
# Rooms of training, each with those it may import; a room may know only rooms above it here, so there is no circle.
ROOMS: Final[dict[str, set[str]]] = {
    "data": set(),
    "fitting": {"data"},
    "evaluation": {"data", "fitting"},
    "reporting": {"data", "fitting", "evaluation"},
    "detector": {"data", "fitting", "evaluation", "reporting"},
    "text": {"data", "fitting", "evaluation", "reporting"},
    "sight": {"data", "fitting", "evaluation", "reporting"},
    "sequence": {"data", "fitting", "evaluation", "reporting", "detector"},
    "second_look": {"data", "fitting", "evaluation", "reporting", "detector"},
    "experiments": {"data", "fitting", "evaluation", "reporting", "detector", "second_look"},
}
# The same of delivery, whose modules beside the rooms put them together.
ROOMS_OF_DELIVERY: Final[dict[str, set[str]]] = {
    "spool": set(),
    "database": {"spool"},
    "destinations": set(),
    "fetching": {"spool", "database", "destinations"},
    "worklist": {"spool", "database"},
}
# A library and the only modules of ours that may import it, as beginnings of their dotted names.
CONFINED: Final[dict[str, tuple[str, ...]]] = {
    "fastapi": ("app.main", "app.api", "app.security", "benchmarks"),
    "starlette": ("app.main", "app.api", "app.security", "benchmarks"),
    "fastapi_standalone_docs": ("app.api",),
    "tensorflow": ("app.inference.backends.tensorflow", "training"),
    "keras": ("app.inference.backends.tensorflow", "training"),
    "torch": ("training.fitting.device",),
    "cryptography": ("app.signing",),
    "jwt": ("app.security",),
    "openvino": ("app.inference.backends.openvino", "app.inference.backends.openvino_graph", "benchmarks"),
    "onnxruntime": ("app.inference.backends.onnx", "benchmarks"),
    "highdicom": ("app.reports",),
    "pynetdicom": ("app.dimse", "benchmarks.doors"),
    "psycopg": ("app.delivery.database.postgresql",),
    "fhir": ("app.reports",),
    "reportlab": ("app.reports",),
    "pyarrow": ("app.batch.tables", "benchmarks"),
    "fontTools": ("benchmarks",),
    "uvicorn": ("app.server", "app.cli", "benchmarks"),
    "standardwebhooks": ("app.delivery.destinations.webhook",),
    "sklearn": ("training",),
    "matplotlib": ("training", "benchmarks"),
}


def module_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def paths_in(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))


SOURCES: Final = {module_of(path): path for path in paths_in("app", "training", "scripts", "benchmarks", "phantoms")}
ALL_PYTHON: Final = {**SOURCES, **{module_of(path): path for path in paths_in("tests")}}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(module: str, path: Path) -> tuple[str, ...]:
    """Dotted names that a module imports anywhere in it, by statement or by `import_module` with a literal."""
    return tuple(imports_of_nodes(module, path, ast.walk(tree_of(path))))


def imports_of_nodes(module: str, path: Path, nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=origin, names=names, level=level):
                package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
                anchor = package[: len(package) - level + 1] if level else []
                source = ".".join([*anchor, *([origin] if origin else [])])
                yield from (f"{source}.{alias.name}" for alias in names)
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name)), *_]):
                yield name
            case ast.Call(func=ast.Name(id="import_module" | "__import__"), args=[ast.Constant(value=str(name)), *_]):
                yield name


def layer_of(name: str) -> str | None:
    """The layer of a dotted name of ours; None for a library."""
    top, *rest = name.split(".")
    if top != "app":
        return top if top in MAY_IMPORT or top == "tests" else None
    return rest[0] if rest and (f"app.{rest[0]}" in SOURCES or rest[0] in MAY_IMPORT) else "app"


def room_of(name: str) -> str | None:
    """The room of a dotted name of training; None for the package itself and everything else."""
    top, *rest = name.split(".")
    return rest[0] if top == "training" and rest else None


def within(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize("module", SOURCES)
def test_imports_follow_the_layers(module: str) -> None:
    own = layer_of(module)
    assert own in MAY_IMPORT, f"{module} is in no layer of the design"
    found = {layer for name in imports_of(module, SOURCES[module]) if (layer := layer_of(name)) is not None}
    assert found - {own, "app"} <= MAY_IMPORT[own]


def test_only_hooks_of_the_server_are_known_to_the_api() -> None:
    found = {
        (module, name)
        for module, path in SOURCES.items()
        if layer_of(module) == "api"
        for name in imports_of(module, path)
        if within(name, ("app.server",)) and not within(name, ("app.server.hooks",))
    }
    assert not found


def test_guidelines_know_nothing_but_plain_types_of_a_prediction() -> None:
    found = {
        name
        for module, path in SOURCES.items()
        if layer_of(module) == "guidelines"
        for name in imports_of(module, path)
        if layer_of(name) not in (None, "guidelines", "app") and not within(name, ("app.inference.prediction",))
    }
    assert not found


def test_the_command_line_imports_training_only_where_a_command_needs_it() -> None:
    at_start = {
        (module, name)
        for module, path in SOURCES.items()
        if layer_of(module) == "cli"
        for node in tree_of(path).body
        for name in imports_of_nodes(module, path, [node])
        if within(name, ("training",)) and isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert not at_start


def test_nothing_but_tests_imports_tests() -> None:
    assert not [m for m, path in SOURCES.items() if any(within(name, ("tests",)) for name in imports_of(m, path))]


@pytest.mark.parametrize("module", [m for m in SOURCES if m.startswith("training.")])
def test_rooms_of_training_import_only_rooms_above_them(module: str) -> None:
    own = room_of(module)
    assert own in ROOMS, f"{module} is in no room: {', '.join(ROOMS)}"
    found = {room for name in imports_of(module, SOURCES[module]) if (room := room_of(name)) is not None}
    assert found - {own} <= ROOMS[own]


@pytest.mark.parametrize("room", ROOMS_OF_DELIVERY)
def test_rooms_of_delivery_import_only_rooms_above_them(room: str) -> None:
    within_delivery = {
        name.split(".")[2]
        for module, path in SOURCES.items()
        if within(module, (f"app.delivery.{room}",))
        for name in imports_of(module, path)
        if within(name, ("app.delivery",)) and name.count(".") > 1
    }
    assert within_delivery & (set(ROOMS_OF_DELIVERY) - {room}) <= ROOMS_OF_DELIVERY[room]


@pytest.mark.parametrize("rooms", [ROOMS, ROOMS_OF_DELIVERY])
def test_rooms_know_only_rooms_above_them(rooms: dict[str, set[str]]) -> None:
    order = list(rooms)
    assert all(rooms[room] <= set(order[:place]) for place, room in enumerate(order))


def test_modules_of_training_know_no_circle() -> None:
    modules = {name for name in SOURCES if name.startswith("training.")}
    imported = {
        module: {name for name in modules for found in imports_of(module, SOURCES[module]) if within(found, (name,))}
        for module in modules
    }
    TopologicalSorter({module: names - {module} for module, names in imported.items()}).prepare()


@pytest.mark.parametrize("library", CONFINED)
def test_libraries_stay_where_they_belong(library: str) -> None:
    users = {
        module
        for module, path in SOURCES.items()
        if any(name.split(".")[0] == library for name in imports_of(module, path))
    }
    assert not {user for user in users if not within(user, CONFINED[library])}


def reads_environment(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr="getenv" | "environ" | "environb"):
            return True
        case ast.ImportFrom(module="os", names=names):
            return any(alias.name in {"getenv", "environ", "environb"} for alias in names)
    return False


def sets_a_default(node: ast.AST) -> bool:
    """`os.environ.setdefault(...)` speaks to a library; it reads nothing for us."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setdefault"


@pytest.mark.parametrize("module", [m for m in SOURCES if m != "app.settings"])
def test_only_settings_reads_the_environment(module: str) -> None:
    tree = tree_of(SOURCES[module])
    excused = {id(part) for call in ast.walk(tree) if sets_a_default(call) for part in ast.walk(call)}
    assert not [node.lineno for node in ast.walk(tree) if reads_environment(node) and id(node) not in excused]  # type: ignore[attr-defined]  # what reads it is an expression or a statement, and they have one


@pytest.mark.parametrize("module", ALL_PYTHON)
def test_modules_are_small_and_named_after_things(module: str) -> None:
    assert not set(module.split(".")) & FORBIDDEN_NAMES
    lines = len(ALL_PYTHON[module].read_text(encoding="utf-8").splitlines())
    most = {"scripts": MAX_SCRIPT_LINES, "app": MAX_APP_MODULE_LINES}
    assert lines <= most.get(module.split(".")[0], MAX_MODULE_LINES)


def test_the_rules_see_what_they_forbid(tmp_path: Path) -> None:
    path = tmp_path / "sly.py"
    path.write_text(
        "import os\n"
        "def later():\n"
        "    from app.api import routes\n"
        "    import tensorflow.keras as k\n"
        "    importlib.import_module('fastapi.routing')\n"
        "    from . import header\n"
        "    return os.environ['HOME'], os.getenv('HOME')\n"
    )
    found = set(imports_of("app.imaging.sly", path))
    assert found == {"os", "app.api.routes", "tensorflow.keras", "fastapi.routing", "app.imaging.header"}
    assert layer_of("app.api.routes") == "api"
    assert layer_of("app.__version__") == "app"
    assert room_of("training.data.nodules.Nodule") == "data"
    assert room_of("training") is room_of("app.imaging") is None
    assert sum(reads_environment(node) for node in ast.walk(ast.parse(path.read_text()))) == 2
