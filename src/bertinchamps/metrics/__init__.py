"""Scores, one file a protocol: what is counted, and what may be compared with what, is in `docs/metrics.md`.

Every protocol is a plain function of documents or lists, which neither writes a file nor opens a connection,
and a module of Hugging Face's `evaluate` of the same numbers.
"""
