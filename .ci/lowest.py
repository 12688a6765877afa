"""Requirements of pyproject.toml at their oldest, one a line: of the core, and of the extras that are named.

Usage: lowest.py [EXTRA...]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(\[(?P<extras>[\w,]+)\])?(>=(?P<version>[\w.]+))?[^;]*(;(?P<marker>.*))?"
)


def oldest(requirements: list[str], extras: dict[str, list[str]]) -> list[str]:
    """name==version of each; own extras are followed."""
    found = []
    for text in requirements:
        parts = REQUIREMENT.fullmatch(text)
        if parts is None:
            raise SystemExit(f"cannot read the requirement {text!r}")
        if parts["name"] == "cluscomp":
            for extra in parts["extras"].split(","):
                found += oldest(extras[extra], extras)
        elif parts["version"] is None:
            raise SystemExit(f"{text!r} has no lower bound")
        else:
            found.append(
                f"{parts['name']}=={parts['version']}" + (f";{parts['marker']}" if parts["marker"] else "")
            )
    return found


def main(names: list[str]) -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [requirement for name in names for requirement in extras[name]]
    print("\n".join(dict.fromkeys(oldest(project["dependencies"] + asked, extras))))


if __name__ == "__main__":
    main(sys.argv[1:])
