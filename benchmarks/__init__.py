"""Measurements of this engine beside others, by hand and on a quiet machine: `python -m benchmarks.NAME --help`."""
