"""Finished runs → tables, a figure and one page of Markdown, with published figures beside ours.

`runs.py` reads, `sections.py` groups, `means.py` averages over seeds, `scores.py` and `costs.py` make tables,
`figure.py` draws, `page.py` writes. Scores of different protocols never stand in one column.
"""
