"""Key grammar: canonical spelling, what each part becomes, and helpful refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluscomp.errors import UnknownKeyError, UsageError
from cluscomp.indexes import parse_key
from cluscomp.indexes.keys.pool import Pool
from cluscomp.indexes.stages.ivf import IVF
from cluscomp.indexes.stages.normalization import L2Norm
from cluscomp.indexes.stages.product_codecs import PQ
from cluscomp.indexes.stages.rotations import OPQ, PCA, RandomRotation
from cluscomp.indexes.stages.row_codecs import SQ8, Flat, SQfp16


@pytest.mark.parametrize(
    ("key", "canonical"),
    [
        ("Flat", "Flat"),
        ("SQ8", "SQ8"),
        ("SQfp16", "SQfp16"),
        ("PQ48", "PQ48"),
        ("PQ48x8", "PQ48"),
        ("PQ48x4", "PQ48x4"),
        ("IVF1024,Flat", "IVF1024,Flat"),
        ("BIVF1024,Flat", "BIVF1024,Flat"),
        ("BIVF64(cap=1.50),SQ8", "BIVF64,SQ8"),
        ("BIVF64(cap=1.0),SQ8", "BIVF64(cap=1),SQ8"),
        ("OPQ48,BIVF64(cap=1.125),PQ48", "OPQ48,BIVF64(cap=1.125),PQ48"),
        ("IVF1024,SQ8,RFlat", "IVF1024,SQ8,RFlat"),
        ("IVF64,PQ8x6,Refine(Flat)", "IVF64,PQ8x6,RFlat"),
        ("IVF64,PQ8,RSQfp16", "IVF64,PQ8,Refine(SQfp16)"),
        ("PQ8,RSQ8", "PQ8,Refine(SQ8)"),
        ("OPQ48,IVF1024,PQ48", "OPQ48,IVF1024,PQ48"),
        ("OPQ16_64,PQ16", "OPQ16_64,PQ16"),
        ("PCA64,L2norm,RR,Flat", "PCA64,L2norm,RR,Flat"),
        ("RR32,Flat", "RR32,Flat"),
        (" IVF8 , Flat ", "IVF8,Flat"),
        ("IVF64,SQ4,RFlat", "IVF64,SQ4,RFlat"),
        ("Pool16,IVF1024,PQ96", "Pool16,IVF1024,PQ96"),
        ("Pool(n=16),OPQ48,IVF1024,PQ48", "Pool16,OPQ48,IVF1024,PQ48"),
        ("Pool( f=2.5, protected=1 ,method=kmeans),SQ4", "Pool(f=2.5,method=kmeans,protected=1),SQ4"),
        ("Pool(bytes=768),PQ48,RSQ8", "Pool(bytes=768),PQ48,Refine(SQ8)"),
        ("Pool16,Flat(noshadow)", "Pool16,Flat"),
        ("Sparse", "Sparse"),
        ("Sparse(bits=32)", "Sparse"),
        ("Sparse( bits=8, bm25 )", "Sparse(bm25,bits=8)"),
        ("Sparse(bm25,k1=1.50,b=.75)", "Sparse(bm25)"),
        ("Sparse(bm25,b=.4,k1=0.9,bits=16)", "Sparse(bm25,k1=0.9,b=0.4,bits=16)"),
        ("RR,RaBitQ1", "RR,RaBitQ"),
        ("RR,IVF64,RaBitQ4,Refine(RaBitQ8)", "RR,IVF64,RaBitQ4,Refine(RaBitQ8)"),
        ("IVF64,SAQ208", "IVF64,SAQ208"),
        ("Seismic", "Seismic"),
        ("Seismic(n_postings=3500,doc_cut=15,bits=32)", "Seismic"),
        (
            "Seismic(max_fraction=2,summary_energy=.5,min_cluster_size=3,n_postings=0,bm25,bits=8)",
            "Seismic(bm25,bits=8,n_postings=0,summary_energy=0.5,max_fraction=2,min_cluster_size=3)",
        ),
        ("Pool(bytes=768),OPQ,IVF1024,PQ", "Pool(bytes=768),OPQ,IVF1024,PQ"),
    ],
)
def test_canonical_spelling(key: str, canonical: str) -> None:
    assert str(parse_key(key)) == canonical
    assert parse_key(canonical) == parse_key(key)


def test_parts_of_a_long_key() -> None:
    spec = parse_key("L2norm,PCA32,RR,OPQ8_16,IVF64,PQ8x4,Refine(SQfp16)")
    assert spec.transforms == (L2Norm(), PCA(32), RandomRotation(None), OPQ(8, 16))
    assert spec.partition == IVF(64)
    assert spec.codec == PQ(8, 4)
    assert spec.refine == SQfp16()
    assert spec.nlist == 64
    assert spec.stage_dims(48) == (48, 48, 32, 32, 16)


def test_no_partition_is_one_list() -> None:
    spec = parse_key("SQ8,RFlat")
    assert spec.partition is None
    assert spec.nlist == 1
    assert (spec.codec, spec.refine) == (SQ8(), Flat())


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("flat", "Flat"),
        ("IVFF64,PQ48", "IVF64,PQ48"),
        ("IVF64,PQQ48", "IVF64,PQ48"),
        ("ivf64,pq48", "IVF64,PQ48"),
        ("bivf64,PQ48", "BIVF64,PQ48"),
        ("BIVF64(1.5),PQ48", "BIVF64,PQ48"),
        ("OPQ48,IVF64,PQ48,RFlatt", "OPQ48,IVF64,PQ48,RFlat"),
        ("SQ16", "SQfp16"),
        ("RR,RaBitQ9", "RR,RaBitQ4"),
        ("rabitq", "RaBitQ4"),
        ("SQfp32", "SQfp16"),
        ("HNSW32", "Flat"),
        ("IVF64", "IVF64,Flat"),
        ("PCA64", "PCA64,Flat"),
        ("IVF64,RFlat", "IVF64,Flat,RFlat"),
    ],
)
def test_unknown_key_names_nearest_and_all_forms(key: str, nearest: str) -> None:
    with pytest.raises(UnknownKeyError) as caught:
        parse_key(key)
    message = str(caught.value)
    assert f"did you mean {nearest!r}" in message
    for form in ("OPQm[_d]", "PCAd", "IVFn", "BIVFn", "SQ8", "SQfp16", "PQm", "RFlat", "Refine(SQfp16)"):
        assert form in message
    parse_key(nearest)


@pytest.mark.parametrize(
    "key", ["", "PQ48,IVF64", "Flat,Flat", "RFlat,Flat", "IVF8,IVF8,Flat", "PQ8,PCA4", ",", "Flat,"]
)
def test_wrong_order_or_number_of_parts(key: str) -> None:
    with pytest.raises(UnknownKeyError):
        parse_key(key)


@pytest.mark.parametrize(
    "key", ["PQ0", "IVF0,Flat", "PQ-4", "PQ4x0", "PCA0,Flat", "BIVF0,Flat", "PQ99999999999999999999"]
)
def test_impossible_numbers(key: str) -> None:
    with pytest.raises(UnknownKeyError):
        parse_key(key)


@pytest.mark.parametrize("cap", ["0", "0.999"])
def test_a_cap_below_one_is_refused(cap: str) -> None:
    with pytest.raises(UsageError, match=f"cap={cap}.*at least 1"):
        parse_key(f"BIVF8(cap={cap}),Flat")


def test_bits_of_a_code_are_named() -> None:
    with pytest.raises(UsageError, match="5 bits.*4, 6 and 8"):
        parse_key("PQ8x5")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("Sparse(bm26)", "'bm26' is no setting; known are bm25, k1=, b=, bits="),
        ("Sparse(bits=4)", "must be 8, 16 or 32"),
        ("Sparse(bm25,k1=-1)", "k1 in .* must be a number"),
        ("Sparse(bm25,b=2)", "at least 0 and at most 1"),
        ("Sparse(k1=2)", r"k1 and b belong to BM25; write Sparse\(bm25,k1=2\)"),
        ("Sparse(bm25,bm25)", "'bm25' stands there twice"),
        ("IVF8,Sparse", "stands alone; write 'Sparse'"),
        ("Pool8,Sparse(bm25)", "stands alone"),
        ("Sparse,RFlat", "stands alone"),
    ],
)
def test_settings_of_terms(key: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_key(key)


def test_m_must_divide_dim_and_valid_values_are_named() -> None:
    with pytest.raises(UsageError, match=r"PQ48: dim 100 .*m=48.*valid m: 1, 2, 4, 5, 10, 20, 25, 50, 100"):
        parse_key("PQ48").stage_dims(100)
    with pytest.raises(UsageError, match=r"OPQ7"):
        parse_key("OPQ7,Flat").stage_dims(16)
    with pytest.raises(UsageError, match="cannot keep 32 of 16"):
        parse_key("PCA32,Flat").stage_dims(16)


def test_key_must_be_a_text_of_sane_length() -> None:
    for key in (None, 8, "PQ8," * 2000):
        with pytest.raises(UnknownKeyError):
            parse_key(key)  # type: ignore[arg-type]


@given(st.text(alphabet="BIVFPQOCARSflatxnormcp2_0123456789,().=", max_size=30))
def test_any_text_parses_or_is_refused(key: str) -> None:
    try:
        spec = parse_key(key)
    except UsageError:
        return
    assert parse_key(str(spec)) == spec


def test_pools() -> None:
    assert parse_key("Pool16,Flat").pool == Pool(n=16)
    assert parse_key("Pool(f=1),Flat").pool.keeps_all
    assert parse_key("Flat").pool is None
    assert Pool(bytes=768).fitted(96) == Pool(n=8)
    assert Pool(f=4).fitted(96) == Pool(f=4)
    with pytest.raises(UsageError, match="96 bytes; allow at least 96"):
        Pool(bytes=95).fitted(96)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("Pool16", "did you mean 'Pool16,Flat'"),
        ("Pool0,Flat", "no known part"),
        ("PQ", r"PQ without a number is for Pool\(bytes=...\)"),
        ("Pool16,OPQ,PQ", "PQ without a number"),
        ("Pool(bytes=768),OPQ48,PQ", "behind both OPQ and PQ, or behind neither"),
        ("Pool(bytes=768),OPQ,SQ8", "behind both OPQ and PQ"),
        ("Flat,Pool16", "wrong place"),
        ("Pool4,Pool4,Flat", "wrong place"),
        ("Pool(),Flat", "no setting"),
        ("Pool(n=4,n=5),Flat", "stands twice"),
        ("Pool(f=0.5),Flat", "factor from 1"),
        ("Pool(f=1e3),Flat", "no factor"),
        ("Pool(n=0),Flat", "no whole number"),
        ("Pool(n=4,f=2),Flat", "one of n, f and bytes"),
        ("Pool(protected=1),Flat", "one of n, f and bytes"),
        ("Pool(n=4,method=median),Flat", "method 'median' is unknown; known are: support, ward"),
    ],
)
def test_pools_that_make_no_sense(key: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_key(key)
