"""Pages of HTML: one file each, which loads nothing. `report.html` of a run, and of several beside each other.

`page.py` writes both. `run.py` and `several.py` gather what stands in them, from the files of runs alone:
`curves.py` from metrics.jsonl, `scores.py` from results.json, `settings.py` from config.yaml and run.json. Style and
charts are in `style.css.jinja` and `charts.js.jinja`, which the pages contain.
"""
