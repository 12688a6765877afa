"""Users' scripts call the public names as written here: their parameters keep name, order, kind and default."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest
from public_api import public_callables, public_classes

import cluscomp

CONTRACT = """
cluscomp.assign(x, centroids, *, metric="l2", return_scores=False)
cluscomp.KMeans(n_clusters, *, metric="l2", n_iter=20, init="random", seed=0, max_points_per_cluster=None, n_redo=1)
cluscomp.KMeans.fit(x, y=None, sample_weight=None)
cluscomp.KMeans.predict(x)
cluscomp.KMeans.fit_predict(x)
cluscomp.sinkhorn(cost, *, epsilon, row_mass=None, col_mass=None, n_iter=1000, tol=1e-6, cost_scale="absolute")
cluscomp.BalancedKMeans(n_clusters, *, balance="exact", max_ratio=1.0, metric="l2", n_iter=20, seed=0)
cluscomp.BalancedKMeans.fit(x, y=None)
cluscomp.BalancedKMeans.predict(x)
cluscomp.BalancedKMeans.fit_predict(x)
cluscomp.balanced_assign(x, centroids, *, capacity, metric="l2")
cluscomp.balance_report(labels, n_clusters)
cluscomp.SphericalKMeans(n_clusters, *, n_iter=20, init="random", seed=0, n_redo=1)
cluscomp.KMedoids(n_clusters, *, metric="euclidean", n_iter=100, init="random", seed=0, n_redo=1, max_train_rows=20_000)
cluscomp.HierarchicalKMeans(n_clusters, *, metric="l2", n_resampling=0, points_per_cluster=None, seed=0)
cluscomp.KMeansTree(branching=16, *, leaf_size=64, balance="exact", max_ratio=1.5, metric="l2", beam=1, seed=0)
cluscomp.Ward(n_clusters=2, *, distance_threshold=None)
cluscomp.balanced_sample(parents, n_samples, *, seed=0)
cluscomp.dissimilarities(x, *, metric="euclidean")
cluscomp.ProductQuantizer(dim, m, nbits=8, *, rotation=None, balance="none", n_iter=25, seed=0)
cluscomp.ProductQuantizer.train(x)
cluscomp.ProductQuantizer.encode(x)
cluscomp.ProductQuantizer.decode(codes)
cluscomp.build_index(source, *, index_key, output, metric="ip", encoder=None, ids=None, lengths=None, max_memory=None, seed=0, if_exists="fail", max_train_rows=None, store_texts=False, empty_documents="fail")
cluscomp.plan_build(source, *, index_key, metric="ip", encoder=None, ids=None, lengths=None, max_memory=None, seed=0, max_train_rows=None, store_texts=False, empty_documents="fail")
cluscomp.load_encoder(name, kind="dense", *, device=None, batch_size=64)
cluscomp.pool_tokens(vectors, lengths, *, factor=None, max_vectors=None, method="ward", linkage_input="euclidean", renormalize=True, protected=0)
cluscomp.maxsim(queries, query_lengths, vectors, lengths)
cluscomp.fde_encode(vectors, lengths, *, side, k_sim, repetitions, projection_dim=None, seed=0)
cluscomp.convert_index(path, output=None, *, index_key=None, source=None, ids=None, lengths=None, format=None, to=None, max_memory=None, max_train_rows=None, seed=0, if_exists="fail", dry_run=False)
cluscomp.index_factory(key, dim, metric="ip")
cluscomp.open_index(path)
cluscomp.Index.train(x)
cluscomp.Index.add(x, ids=None)
cluscomp.Index.search(queries, k, *, nprobe=None, refine_factor=None, k_beyond="fail")
cluscomp.Index.score(queries, ids, *, finer=True, missing="fail")
cluscomp.Index.vectors(ids)
cluscomp.Index.upsert(x, ids)
cluscomp.Index.delete(ids=None, *, missing="fail")
cluscomp.Index.compact(*, segments=16, dead=0.2, rebalance=False)
cluscomp.Index.health(sample=4096, probe=False, new=None, *, lengths=None)
cluscomp.Index.save(path)
cluscomp.Index.to_faiss()
cluscomp.MultiVectorIndex.train(x, *, lengths=None)
cluscomp.MultiVectorIndex.add(x, ids=None, *, lengths=None)
cluscomp.MultiVectorIndex.search(queries, k, *, lengths=None, nprobe=None, refine_factor=None, candidates=None, k_beyond="fail")
cluscomp.MultiVectorIndex.upsert(x, ids, *, lengths=None)
cluscomp.MultiVectorIndex.delete(ids=None, *, missing="fail")
cluscomp.MultiVectorIndex.score(queries, ids, *, lengths=None, missing="fail")
cluscomp.MultiVectorIndex.vectors(ids)
cluscomp.MultiVectorIndex.compact(*, segments=16, dead=0.2, rebalance=False)
cluscomp.MultiVectorIndex.save(path)
cluscomp.indexes.index.open_index(path)
cluscomp.verify_index(path, level="deep")
cluscomp.merge_indexes(paths, output, *, if_exists="fail", dry_run=False)
cluscomp.merge_adapters(paths, *, rank, output, weights=None, balance_norms=False, parameter_reweighting=True, output_reweighting=True, seed=0)
cluscomp.set_num_threads(n)
cluscomp.eval.load_beir(folder, split="test")
cluscomp.eval.evaluate(run, qrels, metrics=("ndcg@10", "recall@100", "mrr@10"))
"""
LINES = CONTRACT.split("\n")[1:-1]


def look_up(dotted: str):
    """Object of a dotted path: modules first, then attributes."""
    parts = dotted.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        for name in parts[n:]:
            found = getattr(found, name)
        return found
    raise AssertionError(dotted)


def contract_signature(line: str) -> tuple[str, inspect.Signature]:
    name, parameters = line.split("(", 1)
    namespace: dict = {}
    exec(f"def f({parameters}: pass", namespace)  # noqa: S102 (our own text)
    return name, inspect.signature(namespace["f"])


@pytest.mark.parametrize("line", LINES, ids=[line.split("(")[0] for line in LINES])
def test_signature(line):
    name, want = contract_signature(line)
    have = dict(inspect.signature(look_up(name)).parameters)
    have.pop("self", None)
    promised = list(want.parameters)
    by_position = [p for p in promised if want.parameters[p].kind is not inspect.Parameter.KEYWORD_ONLY]
    assert list(have)[: len(by_position)] == by_position
    for parameter in promised:
        assert have[parameter].default == want.parameters[parameter].default, parameter
        if parameter in by_position:
            assert have[parameter].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD, parameter
    for extra in have.keys() - set(promised):
        assert have[extra].default is not inspect.Parameter.empty or have[extra].kind in (
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        ), f"{extra} would be required, and callers of the contract do not pass it"


@pytest.mark.parametrize("name", cluscomp.__all__)
def test_every_announced_name_exists(name):
    assert getattr(cluscomp, name) is not None


def test_all_is_sorted_into_dir_and_unknown_names_are_attribute_errors():
    assert set(cluscomp.__all__) <= set(dir(cluscomp))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = cluscomp.no_such_name


def test_errors_derive_from_the_root_and_carry_an_exit_code():
    from cluscomp import errors

    classes = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, Exception)]
    raised = [c for c in classes if not issubclass(c, Warning)]
    assert len(raised) > 10
    assert all(issubclass(c, cluscomp.CluscompError) and c.exit_code in (1, 2, 3, 4, 5) for c in raised)


def annotated():
    """(name, function) of everything public that has a signature: constructors and properties, too."""
    yield from public_callables()
    for name, kind in public_classes():
        yield f"{name}.__init__", kind.__init__
        for attribute in dir(kind):
            member = inspect.getattr_static(kind, attribute)
            if isinstance(member, property) and attribute[0] != "_":
                yield f"{name}.{attribute}", member.fget


@pytest.mark.parametrize(("name", "function"), [pytest.param(*pair, id=pair[0]) for pair in annotated()])
def test_public_callables_say_what_they_take_and_return(name, function):
    signature = inspect.signature(function)
    assert signature.return_annotation not in (inspect.Signature.empty, "Any"), "an editor completes nothing"
    bare = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.annotation is inspect.Parameter.empty and parameter.name not in ("self", "cls")
    ]
    assert not bare


def test_errors_and_warnings_are_public():
    from cluscomp import errors

    defined = {
        name
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and kind.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__) <= set(cluscomp.__all__)
    assert cluscomp.errors is errors


def test_importing_the_package_imports_no_numpy():
    program = "import sys, cluscomp; print('numpy' in sys.modules, 'cluscomp.native' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]
