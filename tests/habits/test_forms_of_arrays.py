"""Every argument that is an array takes what users have, or says what it needs: one line a form, one a call."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import cluscomp as cc
from cluscomp.errors import CluscompError, DimensionError, DTypeError, InputError, UsageError
from cluscomp.eval.integrations.semantic_search import semantic_search

torch = pytest.importorskip("torch")
pandas = pytest.importorskip("pandas")

X = np.random.default_rng(5).integers(-8, 8, size=(40, 4)).astype("f4")  # whole numbers: exact in every dtype
LENGTHS = [8] * 5


class Named(torch.Tensor):
    """A subclass such as fastai and geometric libraries have."""


def reversed_rows(x):
    return x[::-1].copy()[::-1]


# name -> what X looks like in that form
TAKEN = {
    "tensor": torch.from_numpy,
    "tensor with a graph": lambda x: torch.from_numpy(x).requires_grad_(),
    "parameter": lambda x: torch.nn.Parameter(torch.from_numpy(x)),
    "tensor of a subclass": lambda x: torch.from_numpy(x).as_subclass(Named),
    "negative view": lambda x: torch.complex(torch.zeros(x.shape), torch.from_numpy(-x)).conj().imag,
    "bfloat16": lambda x: torch.from_numpy(x).bfloat16(),
    "transposed tensor": lambda x: torch.from_numpy(x.T.copy()).T,
    "list of tensors": lambda x: [torch.from_numpy(row) for row in x],
    "list of tensors with a graph": lambda x: [torch.from_numpy(row).requires_grad_() for row in x],
    "list of bfloat16 tensors": lambda x: [torch.from_numpy(row).bfloat16() for row in x],
    "tuple of arrays": lambda x: tuple(x),
    "list of arrays and lists": lambda x: [row if i % 2 else row.tolist() for i, row in enumerate(x)],
    "nested lists": lambda x: x.tolist(),
    "lists of numbers in tensors": lambda x: [[torch.tensor(value) for value in row] for row in x],
    "array of objects": lambda x: x.astype(object),
    "column of arrays": lambda x: pandas.Series(list(x)),
    "column of lists": lambda x: pandas.Series(x.tolist()),
    "data frame": pandas.DataFrame,
    "data frame of nullable numbers": lambda x: pandas.DataFrame(x).convert_dtypes(),
    "mixed data frame": lambda x: pandas.DataFrame({0: x[:, 0].astype("i8"), **{i: x[:, i] for i in (1, 2, 3)}}),
    "float64": lambda x: x.astype("f8"),
    "float16": lambda x: x.astype("f2"),
    "int8": lambda x: x.astype("i1"),
    "big endian": lambda x: x.astype(">f4"),
    "Fortran order": np.asfortranarray,
    "negative strides": reversed_rows,
    "matrix": np.matrix,
    "no mask": np.ma.masked_array,
}  # fmt: skip
REFUSED = {
    "sparse tensor": (lambda x: torch.from_numpy(x).to_sparse(), DTypeError, r"to_dense\(\)"),
    "tensor without memory": (lambda x: torch.empty(x.shape, device="meta"), DTypeError, "meta"),
    "complex": (lambda x: x.astype("c8"), DTypeError, "complex"),
    "complex tensor": (lambda x: torch.complex(torch.from_numpy(x), torch.from_numpy(x)).conj(), DTypeError, "complex"),
    "8-bit floats": (lambda x: torch.from_numpy(x).to(torch.float8_e4m3fn), DTypeError, r"\.float\(\)"),
    "texts": (lambda x: x.astype(str), DTypeError, "dtype"),
    "times": (lambda x: x.astype("M8[s]"), DTypeError, "dtype"),
    "records": (lambda x: np.zeros((3, 4), [("a", "f4")]), DTypeError, "dtype"),
    "None": (lambda x: None, DTypeError, "NoneType"),
    "text": (lambda x: "x.npy", DTypeError, "'x.npy'"),
    "dict": (lambda x: {0: x}, DTypeError, "dict"),
    "generator": (iter, DTypeError, r"list\(\.\.\.\)"),
    "rows of different lengths": (lambda x: [x[0], x[1, :2]], DimensionError, "shape"),
    "lists of different lengths": (lambda x: [[1.0, 2.0], [3.0]], DimensionError, "rectangular"),
    "a missing row": (lambda x: pandas.Series([*x[:5], None]), InputError, "value 5 is None"),
    "masked values": (lambda x: np.ma.masked_greater(x, 6), InputError, "masked"),
}  # fmt: skip
scipy = pytest.importorskip("scipy.sparse")
REFUSED["scipy's sparse matrix"] = (scipy.csr_matrix, DTypeError, r"toarray\(\)")

FLAT = cc.index_factory("Flat", 4, "l2").add(X)
TOKENS = cc.index_factory("Pool(f=1),Flat", 4).add(X, lengths=LENGTHS)
CENTRES = X[:3]
CALLS = {
    "assign": lambda x: cc.assign(x, CENTRES),
    "centroids": lambda x: cc.assign(X, x),
    "KMeans": lambda x: cc.KMeans(3).fit(x).labels_,
    "KMeans.predict": lambda x: cc.KMeans(3).fit(X).predict(x),
    "BalancedKMeans": lambda x: cc.BalancedKMeans(3).fit(x).labels_,
    "SphericalKMeans": lambda x: cc.SphericalKMeans(3).fit(x).labels_,
    "KMedoids": lambda x: cc.KMedoids(3).fit(x).labels_,
    "Ward": lambda x: cc.Ward(3).fit(x).labels_,
    "balanced_assign": lambda x: cc.balanced_assign(x, CENTRES, capacity=20),
    "dissimilarities": cc.dissimilarities,
    "sinkhorn": lambda x: cc.sinkhorn(x, epsilon=9.0).plan(),
    "sinkhorn_points": lambda x: cc.sinkhorn_points(x, CENTRES, epsilon=9.0).plan(),
    "ProductQuantizer": lambda x: cc.ProductQuantizer(4, 2, 4).train(x).centroids,
    "ProductQuantizer.encode": lambda x: cc.ProductQuantizer(4, 2, 4).train(X).encode(x),
    "Index.train": lambda x: cc.index_factory("SQ8", 4).train(x).add(X).search(X, 1)[0],
    "Index.add": lambda x: cc.index_factory("Flat", 4).add(x).search(X, 3)[1],
    "Index.search": lambda x: FLAT.search(x, 3)[1],
    "pool_tokens": lambda x: cc.pool_tokens(x, LENGTHS, factor=2)[0],
    "maxsim": lambda x: cc.maxsim(x, LENGTHS, X, LENGTHS),
    "fde_encode": lambda x: cc.fde_encode(x, LENGTHS, side="query", k_sim=1, repetitions=1),
    "documents add": lambda x: cc.index_factory("Pool(f=1),Flat", 4).add(x, lengths=LENGTHS).search(X, 3)[1],
    "documents search": lambda x: TOKENS.search(x, 2, lengths=LENGTHS)[0],
    "semantic_search": lambda x: [[hit["corpus_id"] for hit in hits] for hits in semantic_search(x, X, top_k=2)],
}  # fmt: skip
NUMBERS = {  # arguments (40,) or (5,), and the numbers they are
    "sample_weight": (lambda v: cc.KMeans(3).fit(X, sample_weight=v).cluster_centers_, np.arange(40.0) + 1),
    "row_mass": (lambda v: cc.sinkhorn(X, epsilon=9.0, row_mass=v).plan(), np.full(40, 0.025)),
    "salience": (lambda v: TOKENS.search(X, 2, lengths=LENGTHS, keep=0.5, salience=v)[0], np.arange(40.0) % 7),
    "lengths": (lambda v: cc.maxsim(X, LENGTHS, X, v), np.full(5, 8)),
    "labels": (lambda v: cc.balance_report(v, 3)["cv"], np.arange(40) % 3),
    "capacity": (lambda v: cc.balanced_assign(X, X[:5], capacity=v), np.full(5, 9)),
    "init": (lambda v: cc.KMedoids(5, init=v).fit(X).labels_, np.arange(5)),
    "ids": (lambda v: cc.index_factory("Flat", 4).add(X, ids=v).ids, np.arange(40) * 3 + 1),
    "delete": (lambda v: cc.index_factory("Flat", 4).add(X).delete(v), np.arange(5) * 2),
    "ids of score": (lambda v: TOKENS.score(X[:8], v), np.arange(5)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def strict():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", cc.errors.ConvergenceWarning)
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # of np.matrix
        yield


@pytest.mark.parametrize("form", TAKEN)
@pytest.mark.parametrize("call", CALLS)
def test_a_form_gives_what_the_plain_array_gives(call, form):
    want = CALLS[call](X)
    if call == "semantic_search" and "frame" in form:
        pytest.skip("a data frame is no list of embeddings")
    np.testing.assert_allclose(CALLS[call](TAKEN[form](X)), want, rtol=1e-6)


@pytest.mark.parametrize("form", REFUSED)
@pytest.mark.parametrize("call", CALLS)
def test_what_is_no_array_is_refused_by_its_name(call, form):
    if call == "SphericalKMeans" and "scipy" in form:
        pytest.skip("it clusters sparse rows")
    make, error, message = REFUSED[form]
    with pytest.raises(error, match=message) as caught:
        CALLS[call](make(X))
    assert isinstance(caught.value, CluscompError)


PLAIN = {
    "tensor": torch.from_numpy,
    "tensor of a subclass": lambda v: torch.from_numpy(v).as_subclass(Named),
    "list": lambda v: v.tolist(),
    "list of tensors": lambda v: list(torch.from_numpy(v)),
    "column": pandas.Series,
    "nullable column": lambda v: pandas.Series(v).convert_dtypes(),
    "objects": lambda v: v.astype(object),
    "tuple": tuple,
}


@pytest.mark.parametrize("form", PLAIN)
@pytest.mark.parametrize("argument", NUMBERS)
def test_arguments_that_are_lists_of_numbers(argument, form):
    call, values = NUMBERS[argument]
    np.testing.assert_array_equal(call(PLAIN[form](values)), call(values))


@pytest.mark.parametrize("value", [5, 5.0, np.int64(5), "d5", b"d5", {"a": 1}, torch.tensor(5), np.array(5)])
@pytest.mark.parametrize("argument", ["ids", "ids of score"])
def test_a_single_id_is_no_list_of_them(argument, value):
    with pytest.raises(DTypeError, match="must be a sequence of ids, but is the single value"):
        NUMBERS[argument][0](value)


def test_ids_of_any_kind_of_sequence():
    make = lambda ids: cc.index_factory("Flat", 4).add(X[:3], ids=ids)  # noqa: E731
    for ids in ((i for i in (4, 5, 7)), range(4, 7), {4: 0, 5: 0, 7: 0}.keys(), map(int, "457")):
        assert len(make(ids)) == 3
    index = make(["a", "b", "c"])
    assert index.delete(name for name in ("a", "c")) == 2 and index.ids.tolist() == ["b"]
    assert index.delete([]) == 0 and index.delete(np.array([])) == 0 and index.delete("b") == 1
    with pytest.raises(UsageError, match="ids or a filter"):
        index.delete(None)
    with pytest.raises(DTypeError, match=r"ids is the path '.*x\.npy'"):
        import pathlib

        make(pathlib.Path("x.npy"))


WHOLE = [3, np.int64(3), np.int8(3), np.uint32(3), np.array(3)]
REAL = [0.5, np.float32(0.5), np.float64(0.5), np.float16(0.5)]
PARAMETERS = {
    "k": (lambda v: FLAT.search(X[:2], v)[1], WHOLE),
    "top_k": (lambda v: [len(h) for h in semantic_search(X[:2], X, top_k=v)], WHOLE),
    "n_clusters": (lambda v: cc.KMeans(v).fit(X).labels_, WHOLE),
    "balanced n_clusters": (lambda v: cc.BalancedKMeans(v).fit(X).labels_, WHOLE),
    "max_vectors": (lambda v: cc.pool_tokens(X, LENGTHS, max_vectors=v)[0], WHOLE),
    "protected": (lambda v: cc.pool_tokens(X, LENGTHS, factor=2, protected=v)[0], WHOLE),
    "dim": (lambda v: cc.index_factory("Flat", v).add(X[:, :3]).search(X[:1, :3], 1)[1], WHOLE),
    "seed": (lambda v: cc.KMeans(2, seed=v).fit(X).labels_, WHOLE),
    "candidates": (lambda v: TOKENS.search(X[:2], 2, candidates=v)[1], WHOLE),
    "k_sim": (lambda v: cc.fde_encode(X, LENGTHS, side="query", k_sim=v, repetitions=1), WHOLE),
    "repetitions": (lambda v: cc.fde_encode(X, LENGTHS, side="query", k_sim=1, repetitions=v), WHOLE),
    "threads": (lambda v: cc.set_num_threads(v), WHOLE[:1] + WHOLE[1:]),
    "epsilon": (lambda v: cc.sinkhorn(X, epsilon=v, n_iter=3, tol=0).plan(), REAL),
    "transported": (lambda v: cc.sinkhorn(X, epsilon=9.0, transported=v).plan(), REAL),
    "softmax": (lambda v: TOKENS.search(X[:2], 2, softmax=v)[0], REAL),
    "height": (lambda v: cc.pool_tokens(X, LENGTHS, height=v)[0], REAL),
    "factor": (lambda v: cc.pool_tokens(X, LENGTHS, factor=v)[0], [2, 2.0, np.float32(2), np.int64(2), np.float16(2)]),
}  # fmt: skip


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_numbers_of_numpy_are_numbers(parameter, threads):
    call, values = PARAMETERS[parameter]
    want = call(values[0])
    for value in values[1:]:
        got = call(value)
        assert (got is None and want is None) or np.array_equal(got, want), value


@pytest.mark.parametrize("value", ["3", b"3", None, True, [3], 3j, object(), np.array([3])], ids=repr)
@pytest.mark.parametrize("parameter", PARAMETERS)
def test_what_is_no_number_is_refused(parameter, value, threads):
    if value is None and parameter in ("candidates", "softmax", "max_vectors", "height", "factor"):
        pytest.skip("None means that it is not given")
    if parameter == "seed" and (value is None or isinstance(value, (list, np.ndarray))):
        pytest.skip("seeds may be several numbers, or none")
    with pytest.raises(CluscompError):
        PARAMETERS[parameter][0](value)
