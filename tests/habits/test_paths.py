"""What is no path is refused by the name of the argument, wherever a path is asked for."""

from __future__ import annotations

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import UsageError
from cluscomp.eval import load_beir, read_qrels, read_run, write_run
from cluscomp.eval.compare import read_config
from cluscomp.inputs.corpus import iter_corpus
from cluscomp.inputs.embeddings import open_embeddings
from cluscomp.lora.adapter import open_adapter
from cluscomp.quantization.learned import LearnedCodec

ROWS = np.eye(8, dtype=np.float32)
CALLS = {
    "open_index": cc.open_index,
    "save": lambda path: cc.index_factory("Flat", 8).train(ROWS).add(ROWS).save(path),
    "build_index": lambda path: cc.build_index(ROWS, index_key="Flat", output=path),
    "read_run": read_run,
    "write_run": lambda path: write_run({}, path),
    "read_qrels": read_qrels,
    "load_beir": load_beir,
    "iter_corpus": iter_corpus,
    "open_embeddings": open_embeddings,
    "open_adapter": open_adapter,
    "read_config": read_config,
    "LearnedCodec.load": LearnedCodec.load,
}


@pytest.mark.parametrize("path", [None, 3, "", b"folder", "a\0b", 1.5])
@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_path(call, path):
    with pytest.raises(UsageError, match="must be a path, but is"):
        CALLS[call](path)
