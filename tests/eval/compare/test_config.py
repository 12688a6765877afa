import pytest

from cluscomp.errors import MissingInputError, UsageError
from cluscomp.eval.compare import parse_config, read_config

GOOD = {"datasets": ["data/scifact"], "keys": ["Flat"], "encoder": "minilm"}


def test_short_form(tmp_path):
    config = parse_config({**GOOD, "keys": ["Flat", "faiss:IVF4,Flat", "hnswlib:M=8"]}, base=tmp_path)
    (dataset,) = config.datasets
    assert (dataset.name, dataset.path, dataset.split, dataset.metric) == (
        "scifact",
        "data/scifact",
        "test",
        "ip",
    )
    assert dataset.encoder == "minilm"
    assert [(key.library, key.key) for key in config.keys] == [
        ("cluscomp", "Flat"), ("faiss", "IVF4,Flat"), ("hnswlib", "M=8"),
    ]  # fmt: skip
    assert (config.k, config.seed, config.threads, config.repeats) == (100, 0, None, 3)


def test_long_form(tmp_path):
    (tmp_path / "b.toml").write_text(
        """
        k = 10
        search = { nprobe = [4, 1, 4] }
        keys = [{ key = "IVF8,Flat", nprobe = 2, label = "lists" }]
        [[datasets]]
        name = "mine"
        embeddings = "x.npy"
        query_embeddings = "q.npy"
        metric = "l2"
        """
    )
    config = read_config(tmp_path / "b.toml")
    assert config.search == {"nprobe": (1, 4)}
    assert config.keys[0].search == {"nprobe": (2,)}
    assert config.keys[0].label == "lists"
    assert config.datasets[0].embeddings == tmp_path / "x.npy"
    assert (config.datasets[0].path, config.datasets[0].encoder) == (None, None)


def test_token_vectors_are_a_part_of_the_same_dataset(tmp_path):
    files = {name: f"{name}.npy" for name in ("embeddings", "lengths", "query_embeddings", "query_lengths")}
    config = parse_config(
        {**GOOD, "tokens": {"encoder": "minilm"}, "datasets": ["a", {"path": "b", "tokens": files}]},
        base=tmp_path,
    )
    assert [(d.name, d.kind, d.form, d.encoder) for d in config.datasets] == [
        ("a", "dense", "dense", "minilm"), ("a", "tokens", "tokens", "minilm"),
        ("b", "dense", "dense", "minilm"), ("b", "tokens", "tokens", None),
    ]  # fmt: skip
    assert config.datasets[3].query_lengths == tmp_path / "query_lengths.npy"
    alone = parse_config({"datasets": [{"path": "b", "tokens": files}], "keys": ["Pool4,SQ8"]})
    assert [d.kind for d in alone.datasets] == ["tokens"]


def test_folders_of_models_are_relative_to_the_file(tmp_path):
    (tmp_path / "model").mkdir()
    config = parse_config(
        {**GOOD, "encoder": "model", "keys": ["IVF4,RepCONC(model/codec)", "faiss:RepCONC(x)"]}, base=tmp_path
    )
    assert config.datasets[0].encoder == str(tmp_path / "model")
    assert config.keys[0].key == f"IVF4,RepCONC({tmp_path}/model/codec)"
    assert config.keys[0].label == "IVF4,RepCONC(model/codec)"
    assert config.keys[1].key == "RepCONC(x)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": []}, "no keys"),
        ({"datasets": []}, "no datasets"),
        ({"key": ["Flat"]}, "setting 'key' is unknown; .*did you mean 'keys'"),
        ({"k": 5}, "k must be an integer of at least 10, but is 5"),
        ({"threads": 0}, "threads must be .* but is 0"),
        ({"seed": "x"}, "seed is 'x', which is of the wrong type"),
        ({"metric": "dot"}, "metric 'dot' is unknown"),
        ({"keys": ["Flat", "Flat"]}, "the key 'cluscomp:Flat' twice"),
        ({"datasets": ["a/x", "b/x"]}, "the dataset 'x' twice"),
        ({"datasets": [3]}, "a path or a table, not 3"),
        ({"datasets": [{"path": "x", "embedding": "e"}]}, "setting 'embedding' is unknown"),
        ({"datasets": [{"path": "x", "embeddings": "e.npy"}]}, "embeddings and query_embeddings, or neither"),
        ({"encoder": ""}, "has no vectors"),
        ({"tokens": {"kind": "tokens"}}, "'scifact', tokens has no vectors"),
        (
            {"tokens": {"encoder": "m", "kind": "dense"}},
            "kind 'dense' is unknown; known are: tokens, multivector",
        ),
        (
            {"tokens": {"encoder": "m", "length": "l.npy"}},
            "setting 'length' is unknown; .*did you mean 'lengths'",
        ),
        ({"tokens": {"embeddings": "x.npy", "query_embeddings": "y.npz"}}, "has embeddings but no lengths"),
        ({"tokens": {"encoder": "m"}, "metric": "l2"}, "compared by MaxSim"),
        ({"keys": [{"key": "Flat", "datasets": ["npl"]}]}, "dataset 'npl' is unknown; known are: scifact"),
        ({"keys": [{"nprobe": 1}]}, "a key is a text or a table"),
        ({"search": {"nprobe": [0]}}, "nprobe is \\[0\\]"),
        ({"search": {"probe": 1}}, "setting 'probe' is unknown; .*did you mean 'nprobe'"),
    ],
)
def test_wrong_settings_are_named(change, message):
    with pytest.raises(UsageError, match=message):
        parse_config({**GOOD, **change})


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(MissingInputError, match=r"no\.toml"):
        read_config(tmp_path / "no.toml")
    (tmp_path / "bad.toml").write_text("keys = [")
    with pytest.raises(UsageError, match="not valid TOML"):
        read_config(tmp_path / "bad.toml")
