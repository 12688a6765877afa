"""Weighted terms whose postings are clustered, searched approximately: Seismic.

    Seismic, Seismic(bits=8), Seismic(bm25,k1=0.9,bits=8)      weights as in `Sparse`
    Seismic(n_postings=2000,summary_energy=0.5)                how postings are cut, clustered and summarised

Source: Bruch, Nardini, Rulli, Venturini, "Efficient inverted indexes for approximate retrieval over learned
sparse representations", SIGIR 2024 (arXiv 2404.18812); names and defaults are those of their library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from cluscomp import checks
from cluscomp.errors import UsageError
from cluscomp.indexes.keys.forms import Form
from cluscomp.indexes.stages.term_codec import TermCodec
from cluscomp.indexes.stages.term_spec import Reader, Sparse, parse_settings, read_number


@dataclass(frozen=True)
class Seismic(Sparse):
    """Weighted terms in clustered postings, searched approximately.

    n_postings: rows kept of a term on average, those with the largest weights; 0 keeps all. max_fraction: a
    term keeps at most so many times that. centroid_fraction: blocks of a term for each of its rows.
    summary_energy: share of the weights of its rows that the summary of a block keeps. summary_terms: terms
    that it keeps at most for each row of the block, unless summary_energy is 1; 0: no bound.
    min_cluster_size: least rows of a block. doc_cut: largest terms of a row that decide its block.
    """

    n_postings: int = 3500
    centroid_fraction: float = 0.1
    summary_energy: float = 0.4
    summary_terms: int = 8
    max_fraction: float = 1.5
    min_cluster_size: int = 2
    doc_cut: int = 15

    name: ClassVar[str] = "Seismic"
    kind: ClassVar[str] = "clustered_terms"  # type: ignore[misc]
    approximate: ClassVar[bool] = True  # type: ignore[misc]

    @property
    def settings(self) -> list[str]:
        """What the key says between its parentheses."""
        own = [
            f"{name}={getattr(self, name):g}"
            for name in _SETTINGS
            if getattr(self, name) != getattr(Seismic, name)
        ]
        return super().settings + own


def _whole(low: int) -> Reader:
    def read(where: str, value: str) -> int:
        if not value.isdigit():
            raise UsageError(f"{where} must be a whole number, but is {value!r}")
        return checks.integer(where, int(value), low)

    return read


def _share(where: str, value: str) -> float:
    return read_number(where, value, 1)


_SETTINGS: Mapping[str, Reader] = {
    "n_postings": _whole(0),
    "centroid_fraction": _share,
    "summary_energy": _share,
    "summary_terms": _whole(0),
    "max_fraction": read_number,
    "min_cluster_size": _whole(1),
    "doc_cut": _whole(1),
}


def parse_seismic(text: str | None) -> Seismic:
    """The spec of the settings between the parentheses, or of none. UsageError for unknown or wrong ones."""
    return parse_settings(Seismic, text, _SETTINGS)


SEISMIC_FORM = Form(
    "codec",
    r"Seismic(?:\(([^()]*)\))?",
    "Seismic(bm25,bits=8)",
    parse_seismic,
    "Seismic(bm25,bits=n,n_postings=n,summary_energy=x,summary_terms=n,...)",
    texts=True,
    rerank=False,
    meaning="weighted terms in clustered postings with summaries, searched approximately",
)


class SeismicCodec(TermCodec):
    """`TermCodec` of clustered postings: an entry of a row has the number of its term beside its weight."""

    position_bytes = 2
