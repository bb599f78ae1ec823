# SPDX-License-Identifier: Apache-2.0
"""
The layers of the package: a module imports only from rows below its own.

Lazy imports and imports for type checking count: an edge that exists only sometimes is still
one that a reader has to know.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import spancost

PACKAGE = Path(spancost.__file__).parent

# From the bottom to the top. A name is a module of spancost or a subpackage with all it holds.
ROWS = (
    ("_env", "_fork", "_lazy_re", "_semconv", "_values", "_version", "money", "errors"),
    ("usage", "prices"),
    ("cost",),
    ("explanation", "overriding", "route"),
    ("book",),
    ("freshness",),  # how old the prices are, and the thread that follows the installed table
    ("calls", "otlp"),
    ("files",),  # recorded traces, read by otlp and settled and priced by what is below
    ("context", "meter", "ledger", "budget"),
    ("tracker",),
    ("push",),  # the meter's series over OTLP, by the exporters of the SDK
    ("processor",),
    ("exporter", "sampler"),
    ("instrumentor",),  # puts the doors above into programs that were not changed for them
    ("cli", "server", "collector", "testing"),
    ("spancost",),  # the package itself, which gives the public names
)
LEVEL = {name: level for level, row in enumerate(ROWS) for name in row}

# Stricter than its row: reading files knows nothing of what the spans mean.
ONLY = {"otlp": {"errors"}}

# Money, the engine and the meter are tested without an SDK, and work where none is installed.
WITHOUT_OPENTELEMETRY = [name for name, level in LEVEL.items() if level <= LEVEL["files"]] + ["meter"]

MODULES = sorted(PACKAGE.rglob("*.py"))


def test_every_module_has_a_row():
    """A new module is placed in the table before it is used."""
    unplaced = {layer_of(path) for path in MODULES} - LEVEL.keys()

    assert not unplaced, f"place {sorted(unplaced)} in ROWS of tests/unit/test_layers.py"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_come_from_below(path):
    layer = layer_of(path)
    wrong = [
        f"line {line}: {layer} imports {target}"
        for line, target in imported_layers(path)
        if target != layer and not may_import(layer, target)
    ]

    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_money_knows_no_opentelemetry(path):
    if layer_of(path) not in WITHOUT_OPENTELEMETRY:
        return
    wrong = [name for _, name in imports(path) if name.split(".")[0] == "opentelemetry"]

    assert not wrong


def test_no_modules_import_each_other():
    """Inside a subpackage, where rows do not decide, there is no circle either."""
    graph = {module_name(path): set(imported_modules(path)) for path in MODULES}
    # The package itself names every module by its lazy imports, and nothing imports it but the top.
    graph = {name: targets - {name} for name, targets in graph.items() if name != "spancost"}

    while leaves := [name for name, targets in graph.items() if not targets & graph.keys()]:
        for name in leaves:
            del graph[name]

    assert not graph, f"these import each other: {sorted(graph)}"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import spancost.book", ["spancost.book"]),
        ("from spancost import cost", ["spancost.cost"]),
        ("from spancost import Cost", ["spancost"]),
        ("from spancost.cost import Cost", ["spancost.cost"]),
        ("from . import values", ["spancost.usage.values"]),
        ("from .. import book", ["spancost.book"]),
        ("def f():\n    from spancost.book import PriceBook", ["spancost.book"]),
        ("if TYPE_CHECKING:\n    from spancost.book import PriceBook", ["spancost.book"]),
        ("importlib.import_module('spancost.book')", ["spancost.book"]),
        ("import_module('spancost.book')", ["spancost.book"]),
        ("import opentelemetry.trace", ["opentelemetry.trace"]),
    ],
)
def test_an_import_is_found_however_it_is_written(code, found):
    names = [name for _, name in imports_of(ast.parse(code), "spancost.usage", MODULE_NAMES)]

    assert names == found


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULE_NAMES = {module_name(path) for path in MODULES}


def layer_of(path: Path) -> str:
    return layer(module_name(path))


def layer(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def may_import(importer: str, target: str) -> bool:
    if importer in ONLY:
        return target in ONLY[importer]
    return LEVEL.get(target, len(ROWS)) < LEVEL.get(importer, -1)


def imported_modules(path: Path) -> list[str]:
    """The modules of spancost that a module imports; a name of a module is that module."""
    return [name for _, name in imports(path) if name.split(".")[0] == "spancost"]


def imported_layers(path: Path) -> Iterator[tuple[int, str]]:
    for line, name in imports(path):
        if name.split(".")[0] == "spancost":
            yield line, layer(name)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    yield from imports_of(ast.parse(path.read_text(encoding="utf-8")), package, MODULE_NAMES)


def imports_of(tree: ast.AST, package: str, modules: set[str]) -> Iterator[tuple[int, str]]:
    """Find every import of a module in *package*, at any depth: its line and the module it names."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(names=names):
                base = resolve(node, package)
                for alias in names:
                    inner = f"{base}.{alias.name}"
                    yield node.lineno, inner if inner in modules else base
            case ast.Call(
                func=ast.Name(id=called) | ast.Attribute(attr=called), args=[ast.Constant(str(name)), *_]
            ):
                if called in {"import_module", "__import__"}:
                    yield node.lineno, name


def resolve(node: ast.ImportFrom, package: str) -> str:
    """The absolute name of the module that a `from` import names."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - node.level + 1])
    return f"{base}.{node.module}" if node.module else base
