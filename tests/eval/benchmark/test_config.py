import pytest

from cluscomp.errors import MissingInputError, UsageError
from cluscomp.eval.benchmark import parse_config, read_config

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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keys": []}, "no keys"),
        ({"datasets": []}, "no datasets"),
        ({"key": ["Flat"]}, "unknown setting 'key'; did you mean 'keys'"),
        ({"k": 5}, "k is 5, but must be at least 10"),
        ({"threads": 0}, "threads is 0"),
        ({"seed": "x"}, "seed is 'x', which is of the wrong type"),
        ({"metric": "dot"}, "metric 'dot' is unknown"),
        ({"keys": ["Flat", "Flat"]}, "the key 'cluscomp:Flat' twice"),
        ({"datasets": ["a/x", "b/x"]}, "the dataset 'x' twice"),
        ({"datasets": [3]}, "a path or a table, not 3"),
        ({"datasets": [{"path": "x", "embedding": "e"}]}, "unknown setting 'embedding'"),
        ({"datasets": [{"path": "x", "embeddings": "e.npy"}]}, "embeddings and query_embeddings, or neither"),
        ({"encoder": ""}, "has no vectors"),
        ({"keys": [{"nprobe": 1}]}, "a key is a text or a table"),
        ({"search": {"nprobe": [0]}}, "nprobe is \\[0\\]"),
        ({"search": {"probe": 1}}, "unknown setting 'probe'; did you mean 'nprobe'"),
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
