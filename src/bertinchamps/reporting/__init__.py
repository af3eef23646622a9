"""Finished runs → tables, a figure and one page of Markdown, with published figures beside ours.

`runs.py` reads, `sections.py` groups and averages, `tables.py` lays out, `figure.py` draws, `page.py` writes.
No score of one protocol ever stands in a column with scores of another.
"""
