"""constraints.txt pins all that the two set-up commands install."""

from __future__ import annotations

import importlib.metadata
import re

import pytest


def pins(text: str) -> dict[str, str]:
    """Version by normalised name of every `name==version` line."""
    lines = (line.split(";")[0].strip() for line in text.splitlines() if line and not line.startswith("#"))
    return {normalised(name): version for name, version in (line.split("==") for line in lines)}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(requirement: str, seen: set[tuple[str, str]]) -> set[str]:
    """Normalised names of the installed distributions that `requirement` brings, itself included."""
    requirements = pytest.importorskip("packaging.requirements")
    parsed = requirements.Requirement(requirement)
    names = {normalised(parsed.name)}
    for extra in {"", *parsed.extras}:
        if (parsed.name, extra) in seen:
            continue
        seen.add((parsed.name, extra))
        for inner in importlib.metadata.requires(parsed.name) or []:
            marker = requirements.Requirement(inner).marker
            if marker is None or marker.evaluate({"extra": extra}):
                names |= needed(inner, seen)
    return names


@pytest.fixture(scope="module")
def pinned(repository):
    return pins((repository / "constraints.txt").read_text(encoding="utf-8"))


def test_every_package_of_the_test_environment_is_pinned(pinned):
    try:
        names = needed("cluscomp[test]", set()) - {"cluscomp"}
    except importlib.metadata.PackageNotFoundError as exc:
        pytest.skip(f"the test packages are not all installed: {exc}")
    assert len(names) > 20
    assert not names - pinned.keys()


def test_build_packages_are_pinned(repository, pinned):
    tomllib = pytest.importorskip("tomllib")
    build = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["build-system"][
        "requires"
    ]
    assert {normalised(re.split("[<>=]", name)[0]) for name in build} <= pinned.keys()


def test_torch_is_pinned_exactly_for_every_python(repository):
    """An unpinned torch brings a CUDA build of several gigabytes."""
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert "torch==2.13.0" in lines
