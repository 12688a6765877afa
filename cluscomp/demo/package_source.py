"""Installed packages and the Python files that belong to each, without an import of any."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePath

from cluscomp.demo.definitions import Entry, definitions
from cluscomp.demo.stdlib_source import stdlib_files, stdlib_folder

STDLIB = "python"
SKIPPED_PACKAGES = {"cluscomp", "pip"}  # the one changes without its version, the other holds copies
SKIPPED_FOLDERS = {
    "__pycache__", "test", "tests", "testing", "test-data", "_vendor", "vendor", "_vendored", "vendored",
    "externals", "third_party", "examples", "benchmarks", "docs",
}  # fmt: skip


@dataclass(frozen=True)
class Package:
    """A package: name in small letters, version, folder below which its modules' names begin, files."""

    name: str
    version: str
    root: Path
    files: tuple[Path, ...]

    def entries(self, file: Path) -> Iterator[Entry]:
        """Public definitions of one of the files."""
        return definitions(file, self.root)


def installed_packages(path: Sequence[str] | None = None) -> list[Package]:
    """Packages with Python files, sorted by name, and the standard library as the package "python".

    path: folders in which packages are installed (default: those of the running Python, and its library).
    Of a package that is installed twice the first counts, as it does for `import`.
    """
    found = {} if path is not None else {STDLIB: _stdlib()}
    for distribution in distributions(path=list(path)) if path is not None else distributions():
        package = _package(distribution)
        if package is not None:
            found.setdefault(package.name, package)
    return [found[name] for name in sorted(found) if found[name].files]


def _stdlib() -> Package:
    root = stdlib_folder()
    return Package(STDLIB, platform.python_version(), root, tuple(stdlib_files(root)))


def _package(distribution: Distribution) -> Package | None:
    name = str(distribution.metadata["Name"] or "").lower().replace("_", "-").replace(".", "-")
    if not name or name in SKIPPED_PACKAGES:
        return None
    root = Path(str(distribution.locate_file("")))
    files = sorted(
        (PurePath(file) for file in distribution.files or () if _is_source(file)), key=lambda file: file.parts
    )
    return Package(name, distribution.version, root, tuple(root / file for file in files))


def _is_source(file: PurePath) -> bool:
    if file.suffix != ".py" or ".." in file.parts or SKIPPED_FOLDERS.intersection(file.parts[:-1]):
        return False
    return not file.name.startswith(("test_", "conftest"))
