"""Whether an index still fits its rows: what `health` looks at, and where it says that training is due."""

from cluscomp.indexes.health.report import Health, HealthItem

__all__ = ["Health", "HealthItem"]
