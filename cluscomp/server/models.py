"""Bodies of requests and answers; the description at /openapi.json is made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from cluscomp.server.limits import Limits

EXACTLY = {"extra": "forbid"}
"""No fields but those that are named, so that a misspelt one is not passed over."""
MAX_TEXT = 32768
MAX_TEXTS = 4096

Text = Annotated[str, Limits(min_length=1, max_length=MAX_TEXT)]
Number = Annotated[float, Limits()]
Id = Annotated[str, Limits(min_length=1, max_length=4096)]
Row = Annotated[list[Number], Limits(min_length=1)]
TermWeights = Annotated[dict[Annotated[str, Limits(min_length=1, max_length=4096)], Number], Limits()]
Tenant = Annotated[str, Limits()]
Positive = Annotated[int, Limits(ge=1, le=2**31 - 1)]
Condition = Annotated[str, Limits(min_length=1, max_length=65536)] | dict[str, Any]
NotNegative = Annotated[int, Limits(ge=0, le=2**31 - 1)]
Factor = Annotated[float, Limits(ge=0, le=1e6)]
Rerank = Positive | Annotated[str, Limits(min_length=1, max_length=32)]
Include = Literal["text", "attributes", "vector"]


@dataclass
class Packed:
    """An array: base64 of its little-endian numbers, row after row."""

    __pydantic_config__: ClassVar[dict[str, str]] = EXACTLY
    dtype: Literal["float16", "float32", "float64"]
    shape: Annotated[list[Annotated[int, Limits(ge=0, le=2**31 - 1)]], Limits(min_length=1, max_length=2)]
    data: Annotated[str, Limits()]


@dataclass
class PackedTokens:
    """Token vectors of queries below each other, and how many of them each query has."""

    __pydantic_config__: ClassVar[dict[str, str]] = EXACTLY
    dtype: Literal["float16", "float32", "float64"]
    shape: Annotated[list[Annotated[int, Limits(ge=0, le=2**31 - 1)]], Limits(min_length=2, max_length=2)]
    data: Annotated[str, Limits()]
    lengths: Annotated[list[Positive], Limits(min_length=1)]


@dataclass
class SearchRequest:
    """A search: one of text, texts, vectors, vectors_b64, tokens_b64, terms, and how to search. terms: weight
    of each term of a query. A hybrid index also takes vectors beside text, texts or terms of the same
    queries. filter: a condition on attributes, as text or as JSON values; all queries share it. tenant: whose
    documents may be found.
    refine_factor: candidates a hit, or a rule by error bars: "bound", "bound(3)", "certain".
    weight, depth: of a hybrid index, weight of the vectors, and documents of each side that take part.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = EXACTLY
    text: Text | None = None
    texts: Annotated[list[Text] | None, Limits(min_length=1)] = None
    vectors: Annotated[list[Row] | None, Limits(min_length=1)] = None
    vectors_b64: Packed | None = None
    tokens_b64: PackedTokens | None = None
    terms: Annotated[list[TermWeights] | None, Limits(min_length=1)] = None
    k: Positive = 10
    nprobe: Positive | None = None
    refine_factor: Rerank | None = None
    candidates: Positive | None = None
    query_cut: NotNegative | None = None
    heap_factor: Factor | None = None
    weight: Annotated[float | None, Limits(ge=0, le=1)] = None
    depth: Positive | None = None
    filter: Condition | None = None
    tenant: Tenant | None = None
    max_nprobe: Positive | None = None
    include: Annotated[list[Include], Limits(max_length=8)] = field(default_factory=list)
    timeout_ms: Positive | None = None


@dataclass
class Hit:
    """A hit. id: always text. score: more is better. The others, where asked for, as of a document."""

    id: str
    score: float
    title: str | None = None
    text: str | None = None
    attributes: dict[str, Any] | None = None
    terms: dict[str, float] | None = None
    vectors: list[list[float]] | None = None


@dataclass
class QueryHits:
    """Hits of one query, best first. found: how many. probed: lists that were visited, if there are lists.

    complete: whether all rows were scored, or with a filter all that pass.
    """

    found: int
    complete: bool
    probed: int | None
    hits: list[Hit]


@dataclass
class SearchAnswer:
    """Answer to a search, a result for each query. took_ms: of the search that it was part of; batch: queries
    of that search; queue_ms: how long it waited for it; encode_ms: of its texts.
    """

    index: str
    generation: int
    took_ms: float
    queue_ms: float
    encode_ms: float
    batch: int
    results: list[QueryHits]


@dataclass
class GetRequest:
    """Documents by id. tenant: whose; ids of others are not there."""

    __pydantic_config__: ClassVar[dict[str, str]] = EXACTLY
    ids: Annotated[list[Id], Limits(min_length=1)]
    include: Annotated[list[Include], Limits(max_length=8)] = field(default_factory=lambda: ["text"])
    tenant: Tenant | None = None


@dataclass
class Document:
    """What the index holds of a document. vectors: what its codes stand for, several rows where it has
    several; null where the codes have no way back. terms: of an index of weighted terms, or a hybrid one.
    """

    id: str
    title: str | None = None
    text: str | None = None
    attributes: dict[str, Any] | None = None
    terms: dict[str, float] | None = None
    vectors: list[list[float]] | None = None


@dataclass
class GetAnswer:
    """Documents in the order asked for."""

    index: str
    generation: int
    documents: list[Document]


@dataclass
class IndexFacts:
    """What is known of an index. takes_texts: whether texts alone are queries. bytes_per_document: of all
    files. code_bytes_per_document: of codes.
    """

    name: str
    generation: int
    rows: int
    key: str
    metric: str
    dim: int
    several_vectors: bool
    encoder: str | None
    takes_texts: bool
    has_texts: bool
    nlist: int | None
    columns: dict[str, str]
    tenant_column: str | None
    search_defaults: dict[str, float]
    bytes: int
    bytes_per_document: float | None
    code_bytes_per_document: float | None


@dataclass
class IndexList:
    """All served indexes; those of a root folder that are not open have a name only."""

    indexes: list[IndexFacts]
    closed: list[str]


@dataclass
class MapList:
    """A list: its centroid in two dimensions, and its rows (vectors, where a document has several)."""

    number: int
    x: float
    y: float
    rows: int


@dataclass
class MapAnswer:
    """All lists. explained: share of the variance between centroids that the two dimensions hold."""

    index: str
    generation: int
    explained: float
    lists: list[MapList]


@dataclass
class TreeList:
    """A list: its rows (vectors, where a document has several), the mean cosine of its vectors with the
    centroid, and titles of the documents nearest to it.
    """

    number: int
    rows: int
    cohesion: float
    titles: list[str]


@dataclass
class TreeAnswer:
    """Lists that hold rows, and how they are joined, the most alike first: in a pair, a number below that of
    lists is a place in `lists`, a larger one the pair that stands so much further back in `merges`.
    """

    index: str
    generation: int
    lists: list[TreeList]
    merges: list[list[int]]


@dataclass
class Member:
    """A document of a list."""

    id: str
    title: str | None


@dataclass
class MembersAnswer:
    """The first documents of a list, in order of adding."""

    index: str
    generation: int
    number: int
    documents: list[Member]


@dataclass
class ExplainRequest:
    """A document, and a query: its text, or its token vectors. tenant: whose document it is."""

    __pydantic_config__: ClassVar[dict[str, str]] = EXACTLY
    id: Id
    text: Text | None = None
    tokens_b64: PackedTokens | None = None
    tenant: Tenant | None = None


@dataclass
class ExplainAnswer:
    """products: of each query vector with each stored one. best: stored vector of the largest. query: tokens.
    vectors: tokens of the document's text nearest to each stored vector. score: as a search gives it.
    """

    index: str
    generation: int
    id: str
    score: float
    query: list[str]
    vectors: list[list[str]]
    products: list[list[float]]
    best: list[int]


@dataclass
class PutRequest:
    """Documents to add, or to put in the place of those that have their ids: texts to encode, vectors, or
    terms; of a hybrid index also vectors beside texts or terms.

    Texts are stored where the index stores texts. attributes: one object for each id.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = EXACTLY
    ids: Annotated[list[Id], Limits(min_length=1)]
    texts: Annotated[list[Text] | None, Limits(min_length=1)] = None
    vectors: Annotated[list[Row] | None, Limits(min_length=1)] = None
    vectors_b64: Packed | None = None
    tokens_b64: PackedTokens | None = None
    terms: Annotated[list[TermWeights] | None, Limits(min_length=1)] = None
    attributes: Annotated[list[dict[str, Any]] | None, Limits(min_length=1)] = None


@dataclass
class DeleteRequest:
    """Documents to delete: ids, or all that pass a filter. missing: what to do about ids that are not there.

    tenant: whose documents; without it those of all.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = EXACTLY
    ids: Annotated[list[Id] | None, Limits(min_length=1)] = None
    filter: Condition | None = None
    missing: Literal["fail", "ignore"] = "fail"
    tenant: Tenant | None = None


@dataclass
class CompactRequest:
    """How far to compact: at most so many segments, with at most this share of deleted rows."""

    __pydantic_config__: ClassVar[dict[str, str]] = EXACTLY
    segments: Positive = 16
    dead: Annotated[float, Limits(ge=0, le=1)] = 0.2


@dataclass
class Changed:
    """A change that is saved, and served from now on. documents: how many were put or deleted; replaced: how
    many of those that were put were there before.
    """

    index: str
    generation: int
    rows: int
    documents: int
    replaced: int


@dataclass
class Problem:
    """An error. code: one word for programs. detail: what is wrong, and the remedy."""

    type: str
    title: str
    status: int
    code: str
    detail: str
