"""pytest with the package in a folder, not the editable one. Arguments: the folder, then those of pytest."""

from __future__ import annotations

import sys

import pytest


def main() -> int:
    folder, *arguments = sys.argv[1:]
    sys.meta_path[:] = [f for f in sys.meta_path if not type(f).__module__.startswith("_editable_")]
    sys.path.insert(0, folder)
    from cluscomp import _core

    if not str(_core.__file__).startswith(folder):
        print(f"cluscomp comes from {_core.__file__} and not from {folder}")
        return 1
    return pytest.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
