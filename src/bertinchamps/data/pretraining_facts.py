"""pretraining.json in a model's directory: what it was pretrained on, and whether that held the text of test files.

    {"format": 1, "corpus": FINGERPRINT, "objective": "mlm", "spent": {…},
     "overlap": [{"action": "cut", "ngram": 13,
                  "sets": [{"name": …, "digest": …, "lines": 407, "lines_found": 23, …}]}]}

Test files are known by the digest of their lines (`line_sets.digest_of`); no text is in the file. A model that began
with the weights of another one repeats that one's facts: `continued_from`, `grown_from`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bertinchamps.data.line_sets import digest_of, lines_of

FILE = "pretraining.json"
FORMAT = 1
DONE = {"drop": "dropped", "cut": "cut"}  # action → what became of it
BEGAN_AS = ("continued_from", "grown_from")  # a model whose weights the model began with


def pretraining_facts(
    corpus: str, manifest: Mapping[str, Any], objective: str, spent: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of the file.

    Args:
        corpus: fingerprint of the corpus.
        manifest: of the corpus.
        objective: name of the objective.
        spent: what the run has used so far.
    """
    overlap = manifest.get("overlap", [])
    return {
        "format": FORMAT,
        "corpus": corpus,
        "objective": objective,
        "spent": dict(spent),
        "overlap": overlap,
    }


def write_facts(facts: Mapping[str, Any], folder: Path) -> None:
    """Write the file into a model's directory."""
    (folder / FILE).write_text(json.dumps(facts, indent=2, ensure_ascii=False), encoding="utf-8")


def read_facts(model: str) -> dict[str, Any] | None:
    """The facts of a model; None for a model of an earlier version, of another program or of the Hub.

    Args:
        model: a directory, or a name on the Hub.
    """
    try:
        facts = json.loads((Path(model) / FILE).read_bytes())
        return facts if facts["format"] == FORMAT and isinstance(facts["overlap"], list) else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def stages(facts: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The facts of a model and of those with whose weights it began, newest first; an empty one where it has none."""
    found = [facts or {}]
    for key in BEGAN_AS:
        if key in found[0]:
            found += stages(found[0][key])
    return found


def without_names(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts, of earlier models too, with the digest of a test set as its name: file names may tell something."""
    nameless = {key: without_names(facts[key]) for key in BEGAN_AS if isinstance(facts.get(key), Mapping)}
    steps = [
        {**step, "sets": [{**one, "name": one.get("digest")} for one in step.get("sets", ())]}
        for step in facts.get("overlap", ())
    ]
    return {**facts, **nameless, **({"overlap": steps} if "overlap" in facts else {})}


def seen(facts: Mapping[str, Any] | None, texts: Iterable[str]) -> dict[str, Any]:
    """Whether pretraining saw these texts, JSON-able.

    Args:
        facts: of the encoder; None where it has none.
        texts: of a split.

    Returns:
        `measured`; and where a set of the facts has exactly the lines of the texts: `lines` that were looked for,
        `found` in the documents as they came, `whole` (found in all their n-grams), `left` in the documents that were
        passed on, and `actions`. Documents of a stream are cleaned and not counted: `actions` without `measured`.
        A model that began with the weights of others saw what they saw: it is measured if all of them are, `stages`
        is their number, and the counts are the largest of them, so the true ones are at least these.
    """
    digest = digest_of(lines_of(texts))
    found = [_seen_in_one(stage, digest) for stage in stages(facts)]
    unmeasured = [fact for fact in found if not fact["measured"]]
    if unmeasured or len(found) == 1:
        return (unmeasured or found)[0]
    return {
        **found[0],
        **{key: max(fact[key] for fact in found) for key in ("found", "whole", "left")},
        "actions": list(dict.fromkeys(action for fact in found for action in fact["actions"])),
        "stages": len(found),
    }


def _seen_in_one(facts: Mapping[str, Any], digest: str) -> dict[str, Any]:
    """What `seen` returns, of the documents of one model alone."""
    pairs = [
        (step, of_set)
        for step in facts.get("overlap", ())
        for of_set in step.get("sets", ())
        if of_set.get("digest") == digest
    ]
    if not pairs:
        return {"measured": False}
    actions = list(dict.fromkeys(step["action"] for step, _ in pairs))
    first, last = pairs[0][1], pairs[-1][1]
    if "lines_found" not in first or not first["lines"]:
        return {"measured": False, "actions": actions}
    return {
        "measured": True,
        "lines": first["lines"],
        "short_lines": first["short_lines"],
        "found": first["lines_found"],
        "whole": first["lines_whole"],
        "left": last["lines_left"],
        "actions": actions,
    }


NO_PRETRAINING = {"measured": True, "pretrained": False}


def in_a_cell(fact: Mapping[str, Any] | None) -> str:
    """What `seen` returned as a cell of a table; None for a run of an earlier version."""
    if fact is None or not fact.get("measured"):
        done = _done(fact or {})
        return f"not measured ({done} in the stream)" if done else "not measured"
    if not fact.get("pretrained", True):
        return "no pretraining"
    found, left, lines = fact["found"], fact["left"], fact["lines"]
    if left or not found:
        return f"{_at_least(fact)}{left:,} of {lines:,} lines"
    return f"0 of {lines:,} lines ({found:,} {_done(fact)})"


def in_a_sentence(fact: Mapping[str, Any], split: str) -> str:
    """What `seen` returned as a remark on a split."""
    if not fact["measured"]:
        return f"whether pretraining saw the text of {split}: {in_a_cell(fact)}"
    if not fact.get("pretrained", True):
        return f"no pretraining, which could have seen the text of {split}"
    found, left, lines = fact["found"], fact["left"], fact["lines"]
    if not found:
        return f"pretraining did not see the text of {split}: measured, 0 of {lines:,} lines"
    if not left:
        return (
            f"pretraining did not see the text of {split}: measured, {found:,} of {lines:,} lines were found and "
            f"{_done(fact)} before"
        )
    before = f" (measured; {found:,} before others were {_done(fact)})" if found > left else " (measured)"
    return f"pretraining saw {_at_least(fact)}{left:,} of {lines:,} lines of {split}{before}"


def _at_least(fact: Mapping[str, Any]) -> str:
    """Before a count of several corpora, of which the largest was taken."""
    return "at least " if fact["left"] and fact.get("stages", 1) > 1 else ""


def _done(fact: Mapping[str, Any]) -> str:
    return " or ".join(DONE[action] for action in fact.get("actions", ()) if action in DONE)
