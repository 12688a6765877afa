"""Names that callers choose from, each list once: a Literal for types, and the tuple of its values."""

from __future__ import annotations

from typing import Literal, get_args

Metric = Literal["ip", "l2", "cosine"]
"""How two vectors are compared: inner product, squared Euclidean distance, cosine."""
METRICS: tuple[Metric, ...] = get_args(Metric)

MetricName = Literal["ip", "l2", "cosine", "euclidean"]
"""What callers may write for a metric: "euclidean" orders vectors as "l2" does, and means it."""
METRIC_NAMES: tuple[MetricName, ...] = get_args(MetricName)

METRIC_SYNONYMS = {
    "dot": "ip",
    "dot_product": "ip",
    "inner_product": "ip",
    "euclidean": "l2",
    "sqeuclidean": "l2",
    "cos": "cosine",
    "angular": "cosine",
}
"""What others call our metrics; errors suggest the name on the right."""

IfExists = Literal["fail", "replace", "resume"]
"""What to do where the output, or an unfinished run of it, is there already."""
IF_EXISTS: tuple[IfExists, ...] = get_args(IfExists)

IfTaken = Literal["fail", "replace"]
"""The same for outputs that are made in one step, with nothing to resume."""
IF_TAKEN: tuple[IfTaken, ...] = get_args(IfTaken)

EngineName = Literal["local", "ray"]
"""What runs the steps of a build in shards, and searches of shards: this process, or a Ray cluster."""
ENGINES: tuple[EngineName, ...] = get_args(EngineName)

Training = Literal["single", "distributed"]
"""Where the lists of a build in shards are trained: in one process, or by as many as run its steps."""
TRAININGS: tuple[Training, ...] = get_args(Training)

Partial = Literal["fail", "allow"]
"""What a search does where a shard does not answer: raise an error, or return what the others found."""
PARTIAL: tuple[Partial, ...] = get_args(Partial)

EmptyDocuments = Literal["fail", "skip", "keep"]
"""What to do with documents that have no text."""
EMPTY_DOCUMENTS: tuple[EmptyDocuments, ...] = get_args(EmptyDocuments)

DemoCollection = Literal["stdlib", "packages"]
"""What the demo searches: the running Python's library, or all installed packages."""
DEMO_COLLECTIONS: tuple[DemoCollection, ...] = get_args(DemoCollection)

KBeyond = Literal["fail", "clip"]
"""What a search for more hits than there are rows does: raise an error, or return as many as there are."""
K_BEYOND: tuple[KBeyond, ...] = get_args(KBeyond)

VerifyLevel = Literal["quick", "sums", "deep"]
"""How much of an index `verify_index` reads: headers, all bytes, or all bytes and what they mean."""
VERIFY_LEVELS: tuple[VerifyLevel, ...] = get_args(VerifyLevel)

Missing = Literal["fail", "ignore"]
"""What to do about ids that are not in the index: raise an error, or pass over them."""
MISSING: tuple[Missing, ...] = get_args(Missing)

AttributeKind = Literal["bool", "int64", "float64", "timestamp", "text", "texts"]
"""What a column of attributes holds; "texts" are lists of texts."""
ATTRIBUTE_KINDS: tuple[AttributeKind, ...] = get_args(AttributeKind)

Side = Literal["document", "query"]
"""Which of the two sides of a search a text or a vector is on."""
SIDES: tuple[Side, ...] = get_args(Side)

PoolMethod = Literal["ward", "kmeans", "kmedoids", "sequential"]
"""How the token vectors of a document are grouped."""
POOL_METHODS: tuple[PoolMethod, ...] = get_args(PoolMethod)

Support = Literal["support"]
SUPPORT: Support = "support"
"""The method that fits the means of Ward's groups to what MaxSim needs of the tokens."""

CandidatesBy = Literal["lists", "fde"]
"""What chooses the documents of several vectors that a search scores: inverted lists, or encodings."""
CANDIDATES_BY: tuple[CandidatesBy, ...] = get_args(CandidatesBy)

Balance = Literal["none", "soft", "cap", "exact"]
"""How equal in size balanced k-means makes its clusters."""
BALANCES: tuple[Balance, ...] = get_args(Balance)

CostScale = Literal["absolute", "range"]
"""What epsilon is relative to in entropic transport: nothing, or half the range of the costs."""
COST_SCALES: tuple[CostScale, ...] = get_args(CostScale)

EncoderKind = Literal["dense", "tokens", "multivector", "words", "sparse"]
"""What an encoder gives for a text: one vector, one a token, those of a multi-vector model, its words and how
often each occurs, or the weighted terms of a model of sparse vectors.
"""
ENCODER_KINDS: tuple[EncoderKind, ...] = get_args(EncoderKind)

PseudoQueries = Literal["auto", "add", "none"]
"""Titles of documents as training queries: where there are no others, in addition to them, or never."""
PSEUDO_QUERIES: tuple[PseudoQueries, ...] = get_args(PseudoQueries)

JpqLoss = Literal["list", "pair"]
"""Loss of the second RepCONC stage: listwise, or of pairs weighted by their ranks."""
JPQ_LOSSES: tuple[JpqLoss, ...] = get_args(JpqLoss)

UnitClustering = Literal["kmeans", "balanced"]
"""How the rank units of LoRA adapters are clustered."""
UNIT_CLUSTERINGS: tuple[UnitClustering, ...] = get_args(UnitClustering)

Prefer = Literal["bytes", "speed", "quality"]
"""Which measure `tune` optimises among the points within its limits."""
PREFERENCES: tuple[Prefer, ...] = get_args(Prefer)

FusionMethod = Literal["cc", "rrf"]
"""How several rankings become one: by normalised scores (convex combination), or by reciprocal ranks."""
FUSION_METHODS: tuple[FusionMethod, ...] = get_args(FusionMethod)

Normalisation = Literal["minmax", "tmm", "dbsf"]
"""What scales the scores of a list: its range; the least that can be; its mean and deviation."""
NORMALISATIONS: tuple[Normalisation, ...] = get_args(Normalisation)

Target = Literal["faiss", "npy", "parquet", "lance", "cuvs"]
"""Files of other tools that the rows of an index, or what it has learned, can be written to."""
TARGETS: tuple[Target, ...] = get_args(Target)

Learned = Literal["lance", "cuvs"]
"""Those of them that get centroids and codebooks, and no rows."""
LEARNED: tuple[Learned, ...] = get_args(Learned)

HealthState = Literal["not recorded", "ok", "watch", "retrain"]
"""What `health` says of an item, from harmless to pressing."""
HEALTH_STATES: tuple[HealthState, ...] = get_args(HealthState)

FailOn = Literal["watch", "retrain"]
"""From which state on the command `health` ends with exit code 1."""
FAIL_ON: tuple[FailOn, ...] = get_args(FailOn)
