"""`cluscomp keys`: the table of all parts, and one key explained."""

from __future__ import annotations

import json


def test_lists_all_forms(invoke):
    result = invoke("keys")
    assert result.exit_code == 0
    for word in ("OPQm[_d]", "BIVFn[(cap=1.5)]", "RepCONC(folder)", "BiDR(SQ8)", "Pooln", "k-means"):
        assert word in result.stdout
    assert "bytes" not in invoke("keys").stdout.splitlines()[2]


def test_explains_a_key(invoke):
    result = invoke("keys", "OPQ48,IVF1024,PQ48,RFlat", "--dim", 384)
    assert result.exit_code == 0, result.output
    for word in ("OPQ48", "partition", "rotation", "codes 48", "refine 1536", "positions 4", "without ids"):
        assert word in result.stdout
    assert "bytes / document: 1588" in result.stdout


def test_json(invoke):
    facts = json.loads(invoke("keys", "Pool16,SQ8", "--dim", 128, "--json").stdout)
    assert facts["code_bytes_per_document"] == 16 * 128 and facts["parts"][0]["stage"] == "pool"
    forms = json.loads(invoke("keys", "--json", "--dim", 384).stdout)["forms"]
    assert {"stage", "form", "example", "meaning", "code_bytes"} == forms[0].keys()


def test_wrong_keys(invoke):
    result = invoke("keys", "Falt")
    assert result.exit_code == 2 and "did you mean 'Flat'" in result.stderr
    assert invoke("keys", "PQ48", "--dim", 100).exit_code == 2
