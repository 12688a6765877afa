"""Sentences of docstrings, by hand."""

from __future__ import annotations

import pytest

from cluscomp.bench.sentences import LONGEST, docstring_sentences, source_folders
from cluscomp.errors import MissingInputError

SOURCE = '''"""The first sentence has six words here. Short one.

A second paragraph has  more than
six words, too!
"""

def f():
    """The first sentence has six words here."""

class C:
    """{}"""

    async def g(self):
        """One more sentence with six words"""
'''


def test_by_hand(tmp_path):
    (tmp_path / "a.py").write_text(SOURCE.format("very long words " * LONGEST))
    (tmp_path / "b.py").write_text("def broken(:\n")
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "c.py").write_text('"""A sentence of a package that is not asked for."""')
    expected = {
        "The first sentence has six words here.",
        "A second paragraph has more than six words, too!",
        "One more sentence with six words",
    }
    assert set(docstring_sentences([tmp_path], 3)) == expected
    with pytest.raises(MissingInputError, match="have 3 different sentences, but 4 are needed"):
        docstring_sentences([tmp_path], 4)


def test_the_standard_library_has_some():
    found = docstring_sentences(source_folders(packages=False), 200)
    assert len(set(found)) == 200 and all(len(sentence) <= LONGEST for sentence in found)
    assert source_folders(packages=True)[0] == source_folders(packages=False)[0]
