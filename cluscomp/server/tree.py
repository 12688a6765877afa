"""The lists of an index as a tree, for the treemap of the page."""

from __future__ import annotations

from typing import Any

from cluscomp.eval.report.list_tree import list_tree
from cluscomp.eval.report.treemap import titles_of
from cluscomp.server.served import Served


def tree_of_lists(served: Served, whose: dict[str, Any]) -> dict[str, Any]:
    """Lists and merges of `list_tree`, with titles; blocks. whose: `tenant`, if one is said.

    Raises UsageError (no lists, or no tenant said), TooLargeError.
    """
    tree = list_tree(served.index, **whose)
    titles = titles_of(served.index, [name for names in tree.medoids for name in names], **whose)
    lists = [
        {
            "number": int(tree.numbers[place]),
            "rows": int(tree.rows[place]),
            "cohesion": round(float(tree.cohesion[place]), 4),
            "titles": [titles.get(name, name) for name in tree.medoids[place]],
        }
        for place in range(len(tree.numbers))
    ]
    return {
        "index": served.name,
        "generation": served.generation,
        "lists": lists,
        "merges": tree.merges.tolist(),
    }
