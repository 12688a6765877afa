"""The rooms: an arrow points downwards, and the mapped folders are known by their installed names only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

# A room may import the rooms of lower rank, and itself. Rooms of one rank do not know each other.
RANK = {
    "errors": 0,
    "progress": 0,
    "vocabulary": 0,
    "process": 0,
    "fusion": 2,
    "checks": 1,
    "cache": 1,
    "files": 2,
    "folders": 3,
    "objects": 3,
    "resume": 3,
    "bits": 1,
    "native": 2,
    "portable": 3,
    "array_forms": 2,
    "arrays": 3,
    "baselines": 3,
    "machine": 4,
    "terms": 4,
    "clustering": 4,
    "quantization": 5,
    "multivector": 5,
    "attributes": 5,
    "inputs": 6,
    "encoders": 6,
    "indexes": 7,
    "eval": 8,
    "distributed": 8,
    "lora": 8,
    "demo": 9,
    "bench": 9,
    "server": 9,
    "training": 9,
    "cli": 10,
    "__main__": 11,
}
COMPILED = {"_core", "_cuda"}
# The same within a room of many files: its sub-rooms and modules, from the ground up. OTHERS are the modules that are
# not named; they may know each other.
OTHERS = "others"
INNER = {
    "indexes": (
        ("keys",), ("stages",), ("segments",), ("filters",), ("kind",), ("storage",), ("compaction", "describe", "explain", "health", "verify"),
        ("contents", "attributed"), ("following",), ("saved",), ("records",), ("base", "uncopied"), ("bridged",),
        ("multivector", "faiss_bridge", "lance_bridge", "cuvs_bridge", "sparse", "vector_search"), ("hybrid",), ("index",), ("any_index", "merging"), ("factory", "code_identifiers"), ("build",), ("conversion",), ("kinds",), ("__init__",),
    ),
    "clustering": (
        (OTHERS,), ("balanced", "transport"), ("hierarchical_tree",), ("hierarchical", "identifiers"), ("__init__",),
    ),
    "training": ((OTHERS,), ("crisp", "frozen", "repconc"), ("trainer_loss",), ("__init__",)),
}  # fmt: skip


def source_files(repository: Path) -> Iterator[tuple[str, Path]]:
    """(room, file) of every Python file that is installed, but for the package's own `__init__`."""
    for path in sorted((repository / "cluscomp").rglob("*.py")):
        room = path.relative_to(repository / "cluscomp").parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, path
    for room in ("indexes", "eval"):
        for path in sorted((repository / room).rglob("*.py")):
            yield room, path


def imported_modules(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, also those inside functions; relative ones start with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def parse(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def arrows(room: str, source: str) -> list[str]:
    """What `source`, a file of `room`, imports against the order of the rooms."""
    wrong = []
    for line, name in imported_modules(ast.parse(source)):
        parts = name.split(".")
        if parts[0] != "cluscomp" or len(parts) == 1 or parts[1] == room or parts[1] == "__version__":
            continue
        target = parts[1]
        if target in COMPILED:
            if room != "native":
                wrong.append(f"line {line}: only native.py may import cluscomp.{target}")
        elif target not in RANK:
            wrong.append(f"line {line}: {name} is no room; import it from the module that defines it")
        elif RANK[target] >= RANK[room]:
            wrong.append(f"line {line}: {room} must not import {target}")
    return wrong


MAPPED = {"cluscomp": "cluscomp", "indexes": "cluscomp.indexes", "eval": "cluscomp.eval"}


def modules(repository: Path) -> dict[str, Path]:
    """File of every module that is installed, by its dotted name; the root package aside."""
    found = {}
    for folder, package in MAPPED.items():
        for path in sorted((repository / folder).rglob("*.py")):
            parts = path.relative_to(repository / folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    del found["cluscomp"]
    return found


def module_arrows(known: dict[str, str]) -> dict[str, set[str]]:
    """Modules that each module imports. known: name -> source."""
    found = {}
    for module, source in known.items():
        targets = {name for _, name in imported_modules(ast.parse(source))}
        owners = {name if name in known else name.rpartition(".")[0] for name in targets}
        found[module] = (owners & known.keys()) - {module}
    return found


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of a cycle and of what leads to it, or nothing: what is left when all ends are taken off."""
    left = dict(graph)
    while ends := [module for module, targets in left.items() if not targets & left.keys()]:
        for module in ends:
            del left[module]
    return sorted(left)


def inner_arrows(room: str, inner: str, source: str) -> list[str]:
    """What `source`, a file of the sub-room `inner` of `room`, imports against the order of the sub-rooms."""
    floors = {name: floor for floor, names in enumerate(INNER[room]) for name in names}
    wrong = []
    for line, name in imported_modules(ast.parse(source)):
        target = name.split(".")[2] if name.startswith(f"cluscomp.{room}.") else inner
        here, there = (part if part in floors else OTHERS for part in (inner, target))
        if there not in floors:
            wrong.append(f"line {line}: {name} has no floor in {room}")
        elif target != inner and here != there and floors[there] >= floors[here]:
            wrong.append(f"line {line}: {room}/{inner} must not import {target}")
    return wrong


def inner_files(repository: Path, room: str) -> Iterator[tuple[str, Path]]:
    """(sub-room, file) of every file of a room."""
    folder = repository / ("indexes" if room == "indexes" else f"cluscomp/{room}")
    for path in sorted(folder.rglob("*.py")):
        yield path.relative_to(folder).parts[0].removesuffix(".py"), path


def test_the_checker_sees_wrong_inner_arrows():
    up = "if TYPE_CHECKING:\n    from cluscomp.indexes.index import Index"
    assert inner_arrows("indexes", "faiss_bridge", up)
    assert inner_arrows("indexes", "stages", "def f():\n    from cluscomp.indexes.storage import folder")
    assert inner_arrows("indexes", "stages", "from cluscomp.indexes.attic import junk")
    assert inner_arrows("clustering", "lloyd", "import cluscomp.clustering.balanced.solver")
    assert not inner_arrows("clustering", "lloyd", "import cluscomp.clustering.blocks")
    assert not inner_arrows("indexes", "storage", "from cluscomp.indexes.stages.pipeline import Pipeline")


@pytest.mark.parametrize("room", INNER)
def test_inner_arrows_point_downwards(repository, room):
    wrong = [
        f"{path.relative_to(repository)}, {fault}"
        for inner, path in inner_files(repository, room)
        for fault in inner_arrows(room, inner, path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_checker_sees_cycles():
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cluscomp.a import A\n"
    late = "def f():\n    from cluscomp import a\n"
    for back in (typed, late):
        assert cycle(module_arrows({"cluscomp.a": "import cluscomp.b", "cluscomp.b": back}))
    assert not cycle(module_arrows({"cluscomp.a": "import cluscomp.b", "cluscomp.b": "import cluscomp.c"}))


def test_modules_do_not_import_each_other_in_a_circle(repository):
    """Imports inside functions and of types count too: a circle is one module in two files."""
    sources = {name: path.read_text(encoding="utf-8") for name, path in modules(repository).items()}
    assert not cycle(module_arrows(sources))


def test_the_checker_sees_wrong_arrows():
    assert arrows("clustering", "from cluscomp.indexes.keys.grammar import parse_key")
    assert arrows("clustering", "def f():\n    import cluscomp.quantization.pca")
    assert arrows("inputs", "from cluscomp.encoders import load_encoder")
    assert arrows("indexes", "from cluscomp import KMeans")
    assert arrows("indexes", "from cluscomp import _core")
    assert not arrows(
        "indexes", "from cluscomp import errors\nfrom cluscomp.indexes.keys.grammar import parse_key"
    )


def test_every_room_has_a_rank(repository):
    assert {room for room, _ in source_files(repository)} <= RANK.keys()


def test_arrows_point_downwards(repository):
    wrong = [
        f"{path.relative_to(repository)}, {fault}"
        for room, path in source_files(repository)
        for fault in arrows(room, path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


def test_mapped_folders_are_imported_by_their_installed_names(repository):
    """`indexes.ivf` and `cluscomp.indexes.stages.ivf` would be two modules with two of every class."""
    wrong = []
    tests = ((None, path) for path in sorted((repository / "tests").rglob("*.py")))
    for room, path in [*source_files(repository), *tests]:
        for line, name in imported_modules(parse(path)):
            relative = name.startswith(".") and room in ("indexes", "eval")
            if relative or name.split(".")[0] in ("indexes", "eval"):
                wrong.append(f"{path.relative_to(repository)}, line {line}: {name}")
    assert not wrong, "\n".join(wrong)


def test_tree_keeps_its_seven_entries(repository):
    """No new room at the top by accident: code belongs below the four source folders."""
    folders = {path.parent.name for path in repository.glob("*/*.py")}
    ignored = {"build", "dist", ".ci", ".venv"}
    assert folders - ignored <= {"cluscomp", "indexes", "eval", "tests"}
