"""Merging and shrinking LoRA adapters by clustering their rank units."""

from cluscomp.lora.merge import merge_adapters
from cluscomp.lora.report import MergeReport, ModuleReport

__all__ = ["MergeReport", "ModuleReport", "merge_adapters"]
