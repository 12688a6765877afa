"""Errors of the library name arguments of Python; the command line says which flags these are."""

from __future__ import annotations

import pytest

from cluscomp.cli.build_index import build_index
from cluscomp.cli.failures import with_flags
from cluscomp.cli.search import search


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("replace it with if_exists='replace', or", "replace it with --if-exists replace, or"),
        ("(if_exists='resume')", "(--if-exists resume)"),
        ("set max_memory to 8.1 MB or more", "set --max-memory to 8.1 MB or more"),
        ("build with store_texts=True", "build with --store-texts"),
        ("say so by lengths= or an array 'lengths'", "say so by --lengths or an array 'lengths'"),
        ("the seed of this", "the seed of this"),
        ("data/max_memory/x.npy is missing", "data/max_memory/x.npy is missing"),
        ("call index.max_train_rows(x)", "call index.max_train_rows(x)"),
        ("max_train_rows is 0, but must be at least 1", "--max-train-rows is 0, but must be at least 1"),
        ("unknown_argument='x'", "unknown_argument='x'"),
    ],
)
def test_arguments_become_flags(message, said):
    assert with_flags(message, build_index) == said


def test_only_flags_of_the_command_count():
    assert with_flags("if_exists='replace'", search) == "if_exists='replace'"
    assert with_flags("by tenant='...', or tenant=None", search) == "by --tenant ..., or --all-tenants"
    assert with_flags("or tenant=None", build_index) == "or tenant=None"
