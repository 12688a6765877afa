"""Typed columns of facts about rows, and conditions on them. Nothing here knows an index.

Making them   python_values.py, arrow_values.py -> chunks.py -> building.py; times.py
Keeping them  columns.py (with words.py, runs.py, bits.py), table.py, schema.py
Conditions    expressions.py; json_form.py and text_form.py read them, spelling.py writes them
Answering     fitting.py (against a schema), numbers.py (as intervals), evaluating.py (to packed bits)
"""

from cluscomp.attributes.evaluating import matching_bits
from cluscomp.attributes.expressions import Expression
from cluscomp.attributes.fitting import require_fit
from cluscomp.attributes.forms import make_attributes
from cluscomp.attributes.reading import parse_filter
from cluscomp.attributes.schema import Field, Schema
from cluscomp.attributes.table import Attributes

__all__ = [
    "Attributes",
    "Expression",
    "Field",
    "Schema",
    "make_attributes",
    "matching_bits",
    "parse_filter",
    "require_fit",
]
