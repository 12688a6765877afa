"""Flags that say what an index is built of and how, for all commands that build one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cluscomp.cli.common import flag
from cluscomp.vocabulary import EmptyDocuments, EncoderKind, MetricName

INPUT, INDEX = "Input", "Index"
WORDS_KEY = "Sparse(bm25,bits=8)"
"""What --hybrid puts behind the key."""

Corpus = Annotated[
    Path | None,
    flag(
        "--corpus",
        help="Texts: a BEIR folder, a hub id (BeIR/scifact), or a .jsonl, .tsv, .txt or .parquet file.",
        panel=INPUT,
    ),
]
EncoderName = Annotated[
    str | None,
    flag(
        "--encoder",
        help="Model for --corpus, or that made --embeddings: 'minilm', hub name or folder.",
        panel=INPUT,
    ),
]
Kind = Annotated[
    EncoderKind | None,
    flag("--encoder-kind", help="What the model gives for a text. (default: dense)", panel=INPUT),
]
Bf16 = Annotated[
    bool,
    flag(
        "--bf16/--no-bf16",
        help="Encode in bfloat16, sooner where the processor has it; queries then too.",
        env=False,
        panel=INPUT,
    ),
]
Embeddings = Annotated[
    Path | None,
    flag(
        "--embeddings",
        help="Vectors instead of texts: .npy, .npz, .fvecs, .fbin, .parquet. With --hybrid, beside "
        "--corpus or --terms.",
        panel=INPUT,
    ),
]
Ids = Annotated[
    Path | None, flag("--ids", help="Text file with one id a line for --embeddings.", panel=INPUT)
]
Lengths = Annotated[
    Path | None,
    flag(
        "--lengths",
        help="For keys with a pool: .npy with the number of token vectors of each document.",
        panel=INPUT,
    ),
]
Terms = Annotated[
    Path | None,
    flag(
        "--terms",
        help="With --hybrid, weighted terms of the same rows: .jsonl, or .npz of a sparse matrix.",
        panel=INPUT,
    ),
]
Columns = Annotated[
    str | None,
    flag(
        "--columns",
        help="Fields with other than usual names: id=key,text=body,title=head,vectors=emb.",
        panel=INPUT,
        metavar="ROLE=NAME,...",
    ),
]
Empty = Annotated[
    EmptyDocuments, flag("--empty-documents", help="What to do with documents without text.", panel=INPUT)
]
Cache = Annotated[
    bool,
    flag("--cache/--no-cache", help="Keep encodings for later builds.", env=False, panel=INPUT),
]
IndexKey = Annotated[
    str | None,
    flag(
        "--index-key",
        "--key",
        help="Kind of index, such as SQ8 or OPQ48,IVF1024,PQ48; cluscomp keys lists all.",
        panel=INDEX,
    ),
]
Hybrid = Annotated[
    bool,
    flag(
        "--hybrid/--no-hybrid",
        help=f"Index the words of the texts as well, and search both: KEY+{WORDS_KEY}.",
        panel=INDEX,
    ),
]
WordEncoder = Annotated[
    str | None,
    flag(
        "--word-encoder",
        help="For --hybrid: 'words', 'words(stem=porter)' or a model of sparse vectors. "
        "(default: words(stem=porter))",
        panel=INPUT,
    ),
]
CodecFolder = Annotated[
    Path | None,
    flag("--codec", help="Folder of a trained codec: RepCONC(DIR) in --index-key.", panel=INDEX),
]
Metric = Annotated[MetricName, flag("--metric", help="Similarity to search by.", panel=INDEX)]
Output = Annotated[Path | None, flag("--output", "-o", help="Folder to write the index to.", panel=INDEX)]
PoolSample = Annotated[
    Path | None,
    flag(
        "--pool-sample",
        help="For keys such as Pool16: vectors of likely queries, to which documents are fitted.",
        panel=INDEX,
    ),
]
StoreTexts = Annotated[
    bool,
    flag("--store-texts", help="Keep titles and texts in the index, to show them with hits.", panel=INDEX),
]
MaxTrainRows = Annotated[
    int | None,
    flag(
        "--max-train-rows",
        "--train-rows",
        help="Most vectors to train on. (default: by index key and memory)",
        panel=INDEX,
        min=1,
    ),
]
Shards = Annotated[
    int | None,
    flag("--shards", help="Build in so many parts of neighbouring rows, a segment each.", panel=INDEX, min=1),
]
