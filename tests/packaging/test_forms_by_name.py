"""No code outside the stage itself asks which form a part of a key is of: stages answer for themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from cluscomp.indexes.stages import registrations


def form_classes(stages: Path) -> dict[str, str]:
    """Class of a part or of a stage -> file that defines it."""
    found = {}
    for path in sorted(stages.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and hasattr(registrations, node.name):
                found[node.name] = path.name
    return found


def named_forms(source: str, forms: set[str]) -> list[str]:
    """Calls of isinstance and issubclass, and comparisons with a class or a part, that name one of the forms."""
    wrong = []
    for node in ast.walk(ast.parse(source)):
        is_test = isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass")
        if is_test or isinstance(node, ast.Compare):
            names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)} & forms
            wrong += [f"line {node.lineno}: {name}" for name in sorted(names)]
    return wrong


@pytest.mark.parametrize(
    "source", ["isinstance(x, PQ | OPQ)", "issubclass(type(x), PQ)", "type(x) is PQ", "x.codec == PQ(0)"]
)
def test_the_checker_sees_named_forms(source):
    assert named_forms(source, {"PQ"})
    assert not named_forms(source, {"SQ8"})


def test_the_forms_are_found(repository):
    forms = form_classes(repository / "indexes" / "stages")
    assert {"PQ", "OPQ", "PCA", "BIVF", "RepCONC", "Flat", "ScalarCodec", "OpqStep"} <= forms.keys()


def test_nobody_asks_which_form_a_part_is_of(repository):
    forms = form_classes(repository / "indexes" / "stages")
    wrong = []
    for folder in ("indexes", "eval", "cluscomp"):
        for path in sorted((repository / folder).rglob("*.py")):
            own = {name for name, file in forms.items() if path.parent.name == "stages" and path.name == file}
            found = named_forms(path.read_text(encoding="utf-8"), forms.keys() - own)
            wrong += [f"{path.relative_to(repository)}, {fault}" for fault in found]
    assert not wrong, "\n".join(wrong)
