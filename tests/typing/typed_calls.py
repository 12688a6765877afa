"""What a type checker and an editor know after each public call; `make typecheck` reads it, nothing runs it."""

from typing import assert_type

import numpy as np

import cluscomp as cc
from cluscomp.encoders import Encoder, MultiVectorEncoder
from cluscomp.indexes.build import BuildReport
from cluscomp.indexes.build.plan import BuildPlan

x = np.zeros((100, 8), dtype=np.float32)
lengths = np.full(10, 10)

# ---- indexes
index = cc.index_factory("Flat", dim=8)
assert_type(index, cc.Index | cc.MultiVectorIndex | cc.SparseIndex | cc.HybridIndex)
assert_type(index.train(x).add(x), cc.Index | cc.MultiVectorIndex | cc.SparseIndex | cc.HybridIndex)
assert_type(index.search(x, 3), tuple[np.ndarray, np.ndarray])
assert_type(index.delete([1]), int)
assert_type(index.ids, np.ndarray)
index.serach(x, 3)  # type: ignore[union-attr]

opened: cc.AnyIndex = cc.open_index("index")
if isinstance(opened, cc.MultiVectorIndex):
    assert_type(opened.add(x, lengths=lengths), cc.MultiVectorIndex)
    assert_type(opened.vectors([0]), tuple[np.ndarray, np.ndarray])
elif isinstance(opened, cc.Index):
    opened.train(x, lengths=lengths)  # type: ignore[call-arg]

assert_type(cc.build_index("corpus", index_key="Flat", output="index"), BuildReport)
assert_type(cc.plan_build("corpus", index_key="Flat"), BuildPlan)

# ---- clustering and quantization
assert_type(cc.assign(x, x[:3]), np.ndarray)
assert_type(cc.assign(x, x[:3], return_scores=True), tuple[np.ndarray, np.ndarray])
assert_type(cc.KMeans(3).fit(x), cc.KMeans)
assert_type(cc.KMeans(3).predict(x), np.ndarray)
assert_type(cc.KMeans(3).fit_predict(x), np.ndarray)
assert_type(cc.KMeans(3).set_params(seed=1), cc.KMeans)
assert_type(cc.train_kmeans(x, 3).inertia, float)
assert_type(cc.ProductQuantizer(8, 2).train(x).encode(x), np.ndarray)

# ---- several vectors a document
assert_type(cc.pool_tokens(x, lengths, factor=2), tuple[np.ndarray, np.ndarray])
pooled = cc.pool_tokens(x, lengths, factor=2, return_labels=True)
assert_type(pooled, tuple[np.ndarray, np.ndarray, np.ndarray])
assert_type(cc.maxsim(x, lengths, x, lengths), np.ndarray)

# ---- encoders and errors
assert_type(cc.load_encoder("minilm"), Encoder)
assert_type(cc.load_encoder("minilm", "tokens"), MultiVectorEncoder)
encoder = cc.load_encoder("minilm")
assert_type(encoder.encode_queries(["a"]), np.ndarray)
try:
    cc.build_index("corpus", index_key="Flat", output="index", encoder=encoder)
except cc.InfeasibleError as error:
    assert_type(error, cc.errors.InfeasibleError)
