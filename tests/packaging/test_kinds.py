"""What kind an index is of is said by one record (indexes/kind.py): nothing else looks for a pool to find out."""

from __future__ import annotations

import re

# Keys say which kind they are of, and the pool of a key is at work in pooling.py.
ALLOWED = ("indexes/keys/", "indexes/multivector/pooling.py")
PATTERN = re.compile(
    r"\bpool\s+is\s+(not\s+)?None\b|\bif\s+(not\s+)?[\w.]*\bspec\.pool\b|isinstance\([^)]*\bPool\)"
)


def test_nobody_looks_for_a_pool_to_find_the_kind(repository):
    found = []
    for folder in ("cluscomp", "indexes", "eval"):
        for path in sorted((repository / folder).rglob("*.py")):
            name = path.relative_to(repository).as_posix()
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if PATTERN.search(line) and not name.startswith(ALLOWED):
                    found.append(f"{name}, line {number}: {line.strip()}; ask kind_of(spec) instead")
    assert not found, "\n".join(found)
