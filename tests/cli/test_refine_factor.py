"""--refine-factor takes a number, or a rule by error bars."""

from __future__ import annotations

import numpy as np

import cluscomp as cc


def test_numbers_and_rules(invoke, tmp_path):
    x = np.random.default_rng(0).standard_normal((300, 16)).astype("f4")
    cc.index_factory("RR,IVF4,RaBitQ2,RFlat", 16).train(x).add(x).save(tmp_path / "i")
    np.save(tmp_path / "q.npy", x[:3])

    def hits(value: str, code: int = 0) -> str:
        result = invoke(
            "search", tmp_path / "i", "--query-embeddings", tmp_path / "q.npy", "-k", "3", "--nprobe", "4",
            "--refine-factor", value,
        )  # fmt: skip
        assert result.exit_code == code, result.output
        return result.stdout

    assert hits("certain") == hits("100") == hits("bound(1000)")
    assert hits("bound")
    hits("0", 2)
    hits("some", 2)
