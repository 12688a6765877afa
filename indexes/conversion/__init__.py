"""An index in another form: under another key, in the newest format, or as files of other tools."""

from cluscomp.indexes.conversion.report import ConvertReport
from cluscomp.indexes.conversion.run import convert_index

__all__ = ["ConvertReport", "convert_index"]
