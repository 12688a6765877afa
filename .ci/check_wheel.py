"""What a wheel must and must not hold. Usage: check_wheel.py WHEEL [--same-files-as WHEEL] [--audit FILE].

Run by the interpreter that built it: from Python 3.12 on, wheels are for the stable ABI of 3.12.
--audit: output of `auditwheel show --json`; libraries that a manylinux policy does not name are faults.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

REQUIRED = (
    r"cluscomp/__init__\.py",
    r"cluscomp/py\.typed",
    r"cluscomp/_core\.pyi",
    r"cluscomp/_cuda\.pyi",
    r"cluscomp/_core\.[^/]*so",
    r"cluscomp/_cuda\.[^/]*so",
    r"cluscomp/cli/main\.py",
    r"cluscomp/indexes/__init__\.py",
    r"cluscomp/eval/__init__\.py",
    r"cluscomp/eval/report/page\.html",
    r"cluscomp/eval/report/page\.css",
    r"cluscomp/eval/report/page\.js",
    r"cluscomp/server/page/index\.html",
    r"cluscomp/server/page/docs\.html",
    r"cluscomp/server/page/page\.css",
    r"cluscomp/server/page/page\.js",
    r"cluscomp/server/page/docs\.js",
    r"cluscomp/server/page/base\.js",
    r"cluscomp/server/page/map\.js",
    r"cluscomp/server/page/treemap\.js",
    r"cluscomp/eval/report/treemap\.html",
    r"cluscomp-[^/]+\.dist-info/entry_points\.txt",
    r"cluscomp-[^/]+\.dist-info/licenses/LICENSE",
)
ALLOWED = re.compile(
    r"cluscomp/.*\.(py|pyi|so)|cluscomp/py\.typed|cluscomp/eval/report/(page|treemap)\.(html|css|js)"
    r"|cluscomp/server/page/(index|docs|page|base|map|treemap)\.(html|css|js)|cluscomp-[^/]+\.dist-info/.*"
)
# Files that would show that a folder of the tree went along which no user needs.
FORBIDDEN = re.compile(r"^build/|(^|/)(tests?|cpp_ext|__pycache__)/")


def file_names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def faults(names: set[str]) -> list[str]:
    """One sentence for each way in which the names of a wheel's files are wrong."""
    found = [
        f"missing: {pattern}" for pattern in REQUIRED if not any(re.fullmatch(pattern, n) for n in names)
    ]
    found += [f"does not belong there: {n}" for n in sorted(names) if not ALLOWED.fullmatch(n)]
    found += [f"does not belong there: {n}" for n in sorted(names) if FORBIDDEN.search(n)]
    return found


def tag_faults(wheel: Path, names: set[str], version: tuple[int, int]) -> list[str]:
    """Whether the tag of the wheel and the names of its modules are those of a build by this Python."""
    stable = version >= (3, 12)
    own = f"cp{version[0]}{version[1]}"
    expected = "cp312-abi3" if stable else f"{own}-{own}"
    modules = [name for name in names if name.endswith(".so")]
    found = [] if f"-{expected}-" in wheel.name else [f"the tag is not {expected}"]
    return found + [f"not of that ABI: {name}" for name in modules if name.endswith(".abi3.so") != stable]


def audit_faults(audit: dict[str, Any]) -> list[str]:
    """What keeps a wheel from other machines: libraries beside it, or instructions beyond the floor."""
    found = [f"needs {name}, which no manylinux policy has" for name in audit["external_libs"]]
    if not audit["overall_tag"].startswith("manylinux_"):
        found.append(f"runs only where it was built: {audit['overall_tag']}")
    if audit["unsupported_isa"]:
        found.append("says that it needs instructions beyond the floor of its machine type")
    return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--same-files-as", type=Path)
    parser.add_argument("--audit", type=Path)
    arguments = parser.parse_args()
    names = file_names(arguments.wheel)
    found = faults(names) + tag_faults(arguments.wheel, names, sys.version_info[:2])
    if arguments.same_files_as is not None:
        other = file_names(arguments.same_files_as)
        found += [f"only in one of the two wheels: {n}" for n in sorted(names ^ other)]
    if arguments.audit is not None:
        found += audit_faults(json.loads(arguments.audit.read_text(encoding="utf-8")))
    size = arguments.wheel.stat().st_size
    print(f"{arguments.wheel.name}: {len(names)} files, {size / 1e6:.1f} MB", *found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
