"""Training with pooled vectors: a small model, the real one, stops and resumptions, the command."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cluscomp.errors import InputError, OutputExistsError, TooFewRowsError, UsageError
from cluscomp.training.crisp.pairs import Pairs, batches
from cluscomp.training.crisp.pooling import PoolingRule
from cluscomp.training.crisp.train import CrispSettings, train_crisp
from cluscomp.training.training_set import TrainingSet

torch = pytest.importorskip("torch")
library = pytest.importorskip("sentence_transformers")
WORDS = ("apple", "river", "stone", "cloud", "tiger", "piano", "garden", "rocket")
SETTINGS = CrispSettings(documents=PoolingRule(vectors=2), epochs=2, batch_size=4, learning_rate=1e-3)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Two small layers of BERT with a vocabulary of words, as a dense sentence-transformers model."""
    transformers = pytest.importorskip("transformers")
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    folder = tmp_path_factory.mktemp("bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "about", "the"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    tokenizer = transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt"), model_max_length=32)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    steps = Transformer(str(folder))
    dense = library.SentenceTransformer(modules=[steps, Pooling(16)], device="cpu")
    out = tmp_path_factory.mktemp("dense") / "model"
    dense.save(str(out))
    return out


@pytest.fixture
def collection(tmp_path):
    """A document a word; queries name it."""
    folder = tmp_path / "words"
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": w, "title": "", "text": f"the {w} {w} about the {w}"} for w in WORDS]
    queries = [{"_id": f"q{w}", "text": f"about {w}"} for w in WORDS]
    for name, rows in (("corpus", documents), ("queries", queries)):
        text = "\n".join(json.dumps(row) for row in rows)
        (folder / f"{name}.jsonl").write_text(text + "\n", encoding="utf-8")
    lines = ["query-id\tcorpus-id\tscore", *(f"q{w}\t{w}\t1" for w in WORDS)]
    (folder / "qrels" / "train.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def weights(folder):
    from safetensors.numpy import load_file

    return load_file(folder / "model.safetensors")


def test_training_lowers_the_loss_and_the_model_loads_in_both_ways(tmp_path, model, collection):
    settings = CrispSettings(documents=PoolingRule(vectors=2), epochs=20, batch_size=8, learning_rate=5e-3)
    report = train_crisp(collection, str(model), tmp_path / "out", settings)
    assert report.steps == 20 and len(report.losses) == 20
    assert np.mean(report.losses[-3:]) < 0.9 * np.mean(report.losses[:3])
    vectors = library.MultiVectorEncoder(str(tmp_path / "out")).encode_document(["the apple about"])[0]
    dense = library.SentenceTransformer(str(tmp_path / "out"))
    tokens = dense.encode(["the apple about"], output_value="token_embeddings")[0]
    assert vectors.shape == (5, 16)
    torch.testing.assert_close(
        torch.as_tensor(vectors), torch.nn.functional.normalize(tokens, dim=1).cpu(), atol=1e-5, rtol=0
    )
    assert not list(tmp_path.glob(".out*"))


def test_commands_build_and_search_with_the_trained_model(tmp_path, model, collection):
    """`--encoder-kind multivector` on the folder that training leaves: hits and scores of plain MaxSim."""
    from typer.testing import CliRunner

    from cluscomp.cli.main import app
    from cluscomp.eval import read_run

    def invoke(*arguments):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    settings = CrispSettings(documents=PoolingRule(vectors=2), epochs=20, batch_size=8, learning_rate=5e-3)
    train_crisp(collection, str(model), tmp_path / "encoder", settings)
    invoke("build-index", "--corpus", collection, "--encoder", tmp_path / "encoder", "--encoder-kind", "multivector",
           "--index-key", "Pool(f=1),Flat", "--output", tmp_path / "index")  # fmt: skip
    invoke(
        "search", tmp_path / "index", "--queries", collection, "--output", tmp_path / "run.trec", "-k", "8"
    )
    run = read_run(tmp_path / "run.trec")
    encoder = library.MultiVectorEncoder(str(tmp_path / "encoder"))
    documents = encoder.encode_document([f"the {w} {w} about the {w}" for w in WORDS])
    queries = encoder.encode_query([f"about {w}" for w in WORDS])
    for name, query in zip(WORDS, queries, strict=True):
        scores = [float((np.asarray(query) @ np.asarray(d).T).max(axis=1).sum()) for d in documents]
        wanted = dict(zip(WORDS, scores, strict=True))
        assert run[f"q{name}"] == pytest.approx(wanted, abs=1e-5)
    told = json.loads(
        invoke("eval", tmp_path / "index", "--dataset", collection, "--split", "train", "-k", "8", "--json")
    )
    assert told["metrics"]["ndcg@8"] > 0.6  # by chance .4


def test_a_stopped_run_gives_the_bits_of_one_that_was_not(tmp_path, model, collection):
    want = train_crisp(collection, str(model), tmp_path / "whole", SETTINGS)

    class Stop(Exception):
        pass

    def stop(_, done, total):
        if done == 3:
            raise Stop

    with pytest.raises(Stop):
        train_crisp(collection, str(model), tmp_path / "out", SETTINGS, save_every=2, progress=stop)
    assert not (tmp_path / "out").exists()
    seen = []
    got = train_crisp(
        collection,
        str(model),
        tmp_path / "out",
        SETTINGS,
        if_exists="resume",
        progress=lambda _, done, total: seen.append(done),
    )
    assert seen == [3, 4] and got.losses == want.losses
    for name, value in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(weights(tmp_path / "out")[name], value)
    again = train_crisp(collection, str(model), tmp_path / "out", SETTINGS, if_exists="resume")
    assert again == got


def test_resuming_with_other_settings_is_refused(tmp_path, model, collection):
    def stop(_, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_crisp(collection, str(model), tmp_path / "out", SETTINGS, save_every=1, progress=stop)
    with pytest.raises(UsageError, match="seed was 0 and is now 1"):
        changed = CrispSettings(documents=PoolingRule(vectors=2), batch_size=4, learning_rate=1e-3, seed=1)
        train_crisp(collection, str(model), tmp_path / "out", changed, if_exists="resume")


def test_outputs_in_the_way(tmp_path, model, collection):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "diary.txt").write_text("mine")
    for if_exists in ("fail", "replace", "resume"):
        with pytest.raises(OutputExistsError, match="not made by training"):
            train_crisp(collection, str(model), tmp_path / "out", SETTINGS, if_exists=if_exists)
    report = train_crisp(collection, str(model), tmp_path / "other", SETTINGS, dry_run=True)
    assert (report.pairs, report.steps, report.losses) == (8, 4, []) and not (tmp_path / "other").exists()


def test_wrong_calls(tmp_path, model, collection):
    with pytest.raises(TooFewRowsError, match="8 pairs, but a batch has 9"):
        train_crisp(collection, str(model), tmp_path / "out", CrispSettings(batch_size=9))
    with pytest.raises(InputError, match="split 'test'"):
        train_crisp(collection, str(model), tmp_path / "out", SETTINGS, split="test")
    with pytest.raises(UsageError, match="max_length is 99"):
        train_crisp(collection, str(model), tmp_path / "out", CrispSettings(batch_size=4, max_length=99))
    for options in (
        {"epochs": 0},
        {"batch_size": 1},
        {"learning_rate": 0.0},
        {"warmup": 1.0},
        {"scale": -1.0},
    ):
        with pytest.raises(UsageError, match=next(iter(options))):
            CrispSettings(**options)


def test_batches_hold_every_pair_once_an_epoch():
    plan = batches(10, 3, 2, seed=1)
    assert len(plan) == 6
    for epoch in (plan[:3], plan[3:]):
        assert len(set(np.concatenate(epoch))) == 9
    assert not np.array_equal(plan[0], plan[3])


def test_a_document_that_answers_another_query_is_known():
    texts = TrainingSet(["a", "b"], ["a", "b"], ["p", "q"], [(0, 1), (1,)], [False, False])
    pairs = Pairs.of(texts)
    assert list(zip(pairs.queries, pairs.documents, strict=True)) == [(0, 0), (0, 1), (1, 1)]
    np.testing.assert_array_equal(pairs.relevant(np.arange(3)), [[1, 1, 1], [1, 1, 1], [0, 1, 1]])


def test_the_module_pools_inside_a_model_and_is_saved_with_it(tmp_path, model):
    from cluscomp.encoders.token_model import load_token_model
    from cluscomp.training.crisp.module import ClusterPooling

    plain = load_token_model(str(model))
    pooling = ClusterPooling("2", queries="50%")
    pooled = library.MultiVectorEncoder(modules=[*plain, pooling], device="cpu")
    texts = ["the apple about the river", "stone"]
    assert [len(v) for v in pooled.encode_document(texts)] == [2, 2]
    assert [len(v) for v in pooled.encode_query(texts)] == [3, 1]
    outside = [ClusterPooling("2").pool_one(torch.as_tensor(v)) for v in plain.encode_document(texts)]
    for got, want in zip(pooled.encode_document(texts), outside, strict=True):
        torch.testing.assert_close(torch.as_tensor(got), want)
    pooled.save(str(tmp_path / "model"))
    again = library.MultiVectorEncoder(str(tmp_path / "model"), device="cpu", trust_remote_code=True)
    torch.testing.assert_close(torch.as_tensor(again.encode_document(texts)[0]), outside[0])
    features = pooled.preprocess(texts, task="document")
    vectors = pooled.train()(features, task="document")["token_embeddings"]
    vectors.sum().backward()
    reached = {name for name, p in pooled.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert any("word_embeddings" in name for name in reached)


def test_the_module_in_sentence_transformers_trainer(tmp_path, model):
    datasets = pytest.importorskip("datasets")
    from sentence_transformers.multi_vector_encoder import losses

    from cluscomp.encoders.token_model import load_token_model
    from cluscomp.training.crisp.module import ClusterPooling

    encoder = library.MultiVectorEncoder(
        modules=[*load_token_model(str(model)), ClusterPooling("2", queries="2")], device="cpu"
    )
    before = encoder[0].state_dict()["model.encoder.layer.0.output.dense.weight"].clone()
    rows = {"query": [f"about {w}" for w in WORDS], "positive": [f"the {w} about the {w}" for w in WORDS]}
    arguments = library.MultiVectorEncoderTrainingArguments(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, report_to=[], save_strategy="no",
        use_cpu=True, learning_rate=1e-3, disable_tqdm=True,
    )  # fmt: skip
    library.MultiVectorEncoderTrainer(
        model=encoder,
        args=arguments,
        train_dataset=datasets.Dataset.from_dict(rows),
        loss=losses.MultiVectorMultipleNegativesRankingLoss(encoder),
    ).train()
    assert not torch.equal(before, encoder[0].state_dict()["model.encoder.layer.0.output.dense.weight"])
