"""Keys explained: the whole grammar as a table, parts of one key, and bytes that are those of a real index."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import cluscomp
from cluscomp import errors
from cluscomp.indexes.explain import explain_key, known_forms
from cluscomp.indexes.keys.forms import shown_forms
from cluscomp.indexes.keys.table import first_sentence, key_parts, key_table


def test_every_form_is_in_the_table_and_in_the_help_of_index_factory():
    text = inspect.getdoc(cluscomp.index_factory)
    assert {part.form for part in key_parts()} == {form.shown for form in shown_forms()}
    for part in key_parts():
        if "Toy" not in part.form:  # other tests register codecs of their own
            assert part.form in text and part.meaning in text
    assert "[pool,][transform,...][partition,]codec[,refine]" in text


def test_meanings_are_sentences_without_marks():
    for part in key_parts():
        assert len(part.meaning) > 10 and part.meaning[-1] not in ".:;" and "`" not in part.meaning, part
    assert len(key_table().splitlines()) > 20


def test_first_sentence():
    assert first_sentence("One `byte`\n    a value. More.") == "One byte a value"
    assert first_sentence(None) == ""


def test_parts_of_a_key():
    facts = explain_key("OPQ4_8,IVF8,PQ4x4fs,Refine(SQ8)", 16)
    assert facts["key"] == "OPQ4_8,IVF8,PQ4x4,Refine(SQ8)"
    assert [(part["stage"], part["part"], part["dim"]) for part in facts["parts"]] == [
        ("transform", "OPQ4_8", 8), ("partition", "IVF8", 8), ("codec", "PQ4x4", 8), ("refine", "Refine(SQ8)", 16),
    ]  # fmt: skip
    assert "k-means" in facts["parts"][1]["meaning"] and facts["code_bytes_per_document"] == 2
    assert [part["part"] for part in explain_key("PCA8,SQ8")["parts"]] == ["PCA8", "SQ8"]


@pytest.mark.parametrize(
    "key", ["Flat", "SQfp16", "SQ4", "OPQ4,PQ4", "IVF8,PQ4x4,RFlat", "BIVF8,SQ8", "L2norm,Flat"]
)
def test_bytes_are_those_of_an_index(key, make_index, rows):
    index, facts = make_index(key), explain_key(key, rows.shape[1])
    found = {part: size for part, size in index.nbytes().items() if part in facts["bytes"]}
    headers = 128 * 8 + (index.spec.nlist + 1) * 8
    for part, size in found.items():
        assert size == pytest.approx(facts["bytes"][part] * len(rows), abs=headers), part
    assert facts["code_bytes_per_document"] == index.code_bytes_per_document
    trained = {"rotation", "centroids", "codebooks"} & index.nbytes().keys()
    assert sum(index.nbytes()[part] for part in trained) <= facts["trained_bytes"]


def test_bytes_of_documents():
    facts = explain_key("Pool(bytes=768),OPQ,IVF64,PQ", 128)
    assert facts["key"] == "Pool24,OPQ32,IVF64,PQ32"
    assert (facts["vectors_per_document"], facts["code_bytes_per_document"]) == (24, 768)
    assert facts["bytes_per_document"] == pytest.approx(768 + 24 * 2 + 8, abs=0.02)
    open_ended = explain_key("Pool(f=4),SQ8", 128)
    assert open_ended["vectors_per_document"] is None and open_ended["bytes_per_document"] == 128


def test_wrong_keys():
    with pytest.raises(errors.UnknownKeyError, match="did you mean 'Flat'"):
        explain_key("Falt")
    with pytest.raises(errors.UsageError, match="dim 100 cannot be cut"):
        explain_key("PQ48", 100)


def test_bytes_of_single_codecs():
    sizes = {form["form"]: form["code_bytes"] for form in known_forms(96)}
    assert (sizes["Flat"], sizes["SQ8"], sizes["SQ4"], sizes["PQm, PQmx4, PQmx6"], sizes["RFlat"]) == (
        384,
        96,
        48,
        48,
        384,
    )
    assert sizes["IVFn"] is None and sizes["RepCONC(folder)"] is None
    assert {form["code_bytes"] for form in known_forms()} == {None}
    assert np.all([form["meaning"] for form in known_forms()])
