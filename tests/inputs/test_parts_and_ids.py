"""Folders of parts, ids from files and arrays, and files of unknown kind."""

import numpy as np
import pytest
from vector_files import same_rows

from cluscomp import errors
from cluscomp.inputs import open_embeddings, read_ids

X = np.arange(40, dtype=np.float32).reshape(10, 4) / 3 - 5


# ---- folders of parts, ids -------------------------------------------------------------------------


def test_parts_in_order_of_names(tmp_path):
    for name, rows in [("b.npy", X[3:4]), ("a.npy", X[:3]), ("c.npy", X[4:])]:
        np.save(tmp_path / name, rows)
    (tmp_path / "notes.txt").write_text("not a part")
    source = open_embeddings(tmp_path)
    same_rows(source, X)
    assert source.ids is None


def test_parts_with_ids(tmp_path):
    np.savez(tmp_path / "a.npz", embeddings=X[:3], ids=np.arange(3))
    np.savez(tmp_path / "b.npz", embeddings=X[3:], ids=np.arange(3, 10))
    source = open_embeddings(tmp_path)
    assert source.ids.tolist() == list(range(10))
    np.savez(tmp_path / "b.npz", embeddings=X[3:], ids=np.arange(2, 9))
    with pytest.raises(
        errors.DuplicateIdError, match="two parts share an id.*id 2 stands at positions 2 and 3"
    ):
        open_embeddings(tmp_path)
    np.savez(tmp_path / "b.npz", embeddings=X[3:])
    with pytest.raises(errors.MalformedFileError, match=r"b\.npz has no ids"):
        open_embeddings(tmp_path)


def test_parts_that_do_not_fit(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.save(tmp_path / "b.npy", X[:, :3])
    with pytest.raises(errors.DimensionError, match=r"b\.npy has dim 3, .*a\.npy has dim 4"):
        open_embeddings(tmp_path)
    np.save(tmp_path / "b.npy", X.astype(np.float16))
    with pytest.raises(errors.DTypeError, match=r"b\.npy has dtype float16, .*float32"):
        open_embeddings(tmp_path)
    np.savez(tmp_path / "c.npz", X)
    with pytest.raises(errors.UsageError, match=r"several kinds \(\.npy, \.npz\)"):
        open_embeddings(tmp_path)


def test_folder_without_vectors(tmp_path):
    with pytest.raises(errors.MissingInputError, match="no file of vectors"):
        open_embeddings(tmp_path)


def test_ids_from_files(tmp_path):
    np.save(tmp_path / "x.npz.npy", X)
    path = tmp_path / "x.npz.npy"
    (tmp_path / "ids.txt").write_bytes(
        "007\r\n7\r\nGeneva Durben\r\nü".encode() + b"\r\n" + b"\r\n".join(b"%d" % i for i in range(10, 16))
    )
    ids = open_embeddings(path, tmp_path / "ids.txt").ids
    assert ids == ["007", "7", "Geneva Durben", "ü", *map(str, range(10, 16))]
    np.save(tmp_path / "ids.npy", np.arange(10, dtype=np.int32))
    assert open_embeddings(path, tmp_path / "ids.npy").ids.dtype == np.int64
    np.save(tmp_path / "ids.npy", np.array(list("abcdefghij")))
    assert open_embeddings(path, tmp_path / "ids.npy").ids == list("abcdefghij")


def test_given_ids_take_the_place_of_those_inside(tmp_path):
    np.savez(tmp_path / "x.npz", embeddings=X[:2], ids=np.arange(2))
    (tmp_path / "ids.txt").write_text("a\nb\n")
    assert open_embeddings(tmp_path / "x.npz", tmp_path / "ids.txt").ids == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "fault", "message"),
    [
        ("a\nb\n", errors.DimensionError, r"ids\.txt: there are 2 ids for 3 vectors"),
        ("a\nb\nc\nd\n", errors.DimensionError, "4 ids for 3"),
        ("a\nb\na\n", errors.DuplicateIdError, "'a' stands at positions 0 and 2"),
        ("a\n\nb\n", errors.MalformedFileError, r"ids\.txt:2: the id is blank"),
    ],
)
def test_bad_id_files(tmp_path, text, fault, message):
    (tmp_path / "ids.txt").write_text(text)
    with pytest.raises(fault, match=message):
        read_ids(tmp_path / "ids.txt", 3)


@pytest.mark.parametrize(
    ("array", "fault"),
    [
        (np.zeros((3, 1), int), errors.DimensionError),
        (np.zeros(3), errors.DTypeError),
        (np.array([None, 1, 2], object), errors.MalformedFileError),
    ],
)
def test_bad_id_arrays(tmp_path, array, fault):
    np.save(tmp_path / "ids.npy", array, allow_pickle=True)
    with pytest.raises(fault, match=r"ids\.npy"):
        read_ids(tmp_path / "ids.npy", 3)


def test_unknown_and_missing_files(tmp_path):
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04")
    with pytest.raises(errors.UsageError, match=r"cannot tell the format of .*x\.pkl.*\.npy"):
        open_embeddings(tmp_path / "x.pkl")
    with pytest.raises(errors.MissingInputError, match="does not exist"):
        open_embeddings(tmp_path / "absent.npy")


def test_shared_vectors(shared_data):
    folder = shared_data / "scifact" / "minilm"
    source = open_embeddings(folder / "docs.npy", folder / "docs.ids.txt")
    assert (source.n, source.dim, source.dtype) == (5183, 384, np.float16)
    assert source.ids[0] == "4983"
    assert np.array_equal(np.concatenate(list(source.blocks(1000))), np.load(folder / "docs.npy"))
