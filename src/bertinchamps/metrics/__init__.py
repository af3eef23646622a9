"""Scores, one file a protocol. `docs/metrics.md` explains what each protocol counts and which scores compare.

A protocol's file holds its description (`protocols.py`), a function of documents or lists that neither writes a file
nor opens a connection, and a module of Hugging Face's `evaluate` with the same scores.
"""
