"""Compressed indexes inside the evaluations of other packages: mteb.py, sentence_transformers.py."""
