"""The transformer of neighbours equals scikit-learn's own, and passes its checks of estimators."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from cluscomp.errors import UnknownKeyError, UsageError

neighbors = pytest.importorskip("sklearn.neighbors")
from sklearn.manifold import Isomap  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

from cluscomp.eval.integrations.sklearn import CluscompNeighborsTransformer  # noqa: E402


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine"])
@pytest.mark.parametrize("mode", ["distance", "connectivity"])
def test_it_equals_scikit_learns(rng, mode, metric):
    x, other = rng.standard_normal((80, 6)), rng.standard_normal((9, 6))
    ours = CluscompNeighborsTransformer(n_neighbors=4, mode=mode, metric=metric).fit(x)
    theirs = neighbors.KNeighborsTransformer(n_neighbors=4, mode=mode, metric=metric).fit(x)
    for rows in (x, other):
        want, found = theirs.transform(rows), ours.transform(rows)
        assert found.shape == want.shape and found.nnz == want.nnz
        np.testing.assert_allclose(found.toarray(), want.toarray(), atol=2e-3)


def test_checks_of_estimators():
    check_estimator(CluscompNeighborsTransformer())


def test_in_a_pipeline_and_as_a_pickle(rng):
    x = rng.standard_normal((60, 5))
    made = make_pipeline(
        CluscompNeighborsTransformer(n_neighbors=8), Isomap(n_neighbors=8, metric="precomputed")
    )
    assert made.fit_transform(x).shape == (60, 2)
    one = CluscompNeighborsTransformer(index_key="IVF4,SQ8", nprobe=2).fit(x)
    again = pickle.loads(pickle.dumps(one))  # noqa: S301
    assert (again.transform(x) != one.transform(x)).nnz == 0


def test_more_neighbours_than_rows(rng):
    x = rng.standard_normal((3, 2))
    assert CluscompNeighborsTransformer(n_neighbors=9).fit(x).transform(x).nnz == 9


def test_wrong_settings(rng):
    x = rng.standard_normal((10, 4))
    for settings in ({"mode": "other"}, {"metric": "manhattan"}, {"index_key": "Flatt"}):
        with pytest.raises(UnknownKeyError):
            CluscompNeighborsTransformer(**settings).fit(x)
    with pytest.raises(UsageError):
        CluscompNeighborsTransformer(n_neighbors=0).fit(x)
