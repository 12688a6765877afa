"""The report of a comparison: figures.py draws, page.py writes one HTML file with everything inside."""

from cluscomp.eval.report.page import render_report, write_report
from cluscomp.eval.report.pareto import pareto_front

__all__ = ["pareto_front", "render_report", "write_report"]
