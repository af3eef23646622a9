"""What a card tells of a finished run, gathered from its files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bertinchamps.data import pretraining_facts
from bertinchamps.data.pretraining_facts import in_a_sentence
from bertinchamps.exporting import card_words
from bertinchamps.exporting.source import Source
from bertinchamps.metrics.protocols import PROTOCOLS
from bertinchamps.reporting.required import with_current_protocols
from bertinchamps.training.privacy.guarantee import in_words
from bertinchamps.training.run_files import SUMMARIES, read_facts, read_summary

OF_ALL_TOKENS = ("detection", "replaced")  # beginnings of the names of held-out scores
CURVE_ROWS = 8
OF_NEW = ("arch", "tokenizer", "grow")  # settings of a new model
OF_OLD = ("model", "freeze", "adapter", "dropout")  # settings of a model that is trained further
SPENT = ("seconds", "steps", "tokens", "flops", "flops_dense")


class Score(NamedTuple):
    """A score of a split.

    Attributes:
        split: dev, test, or held out.
        protocol: what is counted, in words.
        metric: its key.
        title: of the metric.
        value: as it is.
        shown: as it is printed.
        remark: on the protocol.
    """

    split: str
    protocol: str
    metric: str
    title: str
    value: float
    shown: str
    remark: str | None = None


class Told(NamedTuple):
    """What is told of a run.

    Attributes:
        sources: of the texts, in words.
        datasets: their names on the Hub.
        fingerprint: of the data.
        task: name of a public task; None: pretraining, or examples of the user's own.
        base: name on the Hub of the encoder; None: another one.
        overlap: sentences on what pretraining saw of test sets.
        scores: all of them.
        spent: of the budget, name → number.
        cost: energy and money, name → words.
        config: all settings.
        facts: the content of run.json.
        device: it was trained on.
        remarks: on the data.
        curve: rows of updates, tokens and held-out loss.
        privacy: sentences on what is guaranteed of records of train, and what is not.
    """

    sources: Sequence[str]
    datasets: Sequence[str]
    fingerprint: str
    task: str | None
    base: str | None
    overlap: Sequence[str]
    scores: Sequence[Score]
    spent: Mapping[str, Any]
    cost: Mapping[str, Any]
    config: Mapping[str, Any]
    facts: Mapping[str, Any]
    device: str
    parameters: int
    remarks: Sequence[str] = ()
    curve: Sequence[tuple[int, int, float]] = ()
    privacy: Sequence[str] = ()


def told_of(source: Source, run: Path) -> Told | None:
    """What is told of a finished run; None for another one."""
    command = next((name for name, file in SUMMARIES.items() if (run / file).is_file()), None)
    if command is None:
        return None
    summary, facts, config = read_summary(run, command), read_facts(run), card_words.read_config(run)
    known = pretraining_facts.read_facts(str(source.folder))
    return (_of_pretraining if command == "pretrain" else _of_finetuning)(run, summary, facts, config, known)


def _of_pretraining(
    run: Path,
    summary: Mapping[str, Any],
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    known: Mapping[str, Any] | None,
) -> Told:
    found = list(card_words.sources(config.get("data", {})))
    scores = [
        Score(
            "held out",
            f"{'all' if name.startswith(OF_ALL_TOKENS) else 'masked'} tokens, mask of 15 %",
            name,
            name,
            value,
            f"{value:.4f}",
        )
        for name, value in summary["held_out"].items()
    ]
    goes_on = "continued_from" in summary
    return Told(
        sources=[words for words, _ in found],
        datasets=list(dict.fromkeys(name for _, name in found if name)),
        fingerprint=facts["data_fingerprint"],
        task=None,
        base=card_words.hub_name(str(config.get("model"))) if goes_on else None,
        overlap=list(_overlap(known)),
        scores=scores,
        spent=summary["spent"],
        cost=summary.get("cost", {}),
        config={key: value for key, value in config.items() if key not in (OF_NEW if goes_on else OF_OLD)},
        facts=facts,
        device=str(summary.get("device", "")),
        parameters=int(summary.get("parameters", 0)),
        remarks=list(_went_on(summary)) if goes_on else (),
        curve=_curve(run / "metrics.jsonl"),
    )


def _went_on(summary: Mapping[str, Any]) -> Iterator[str]:
    """Sentences on the model that training went on from."""
    base, before = summary["continued_from"], summary.get("held_out_before", {})
    yield f"Training went on from the masked language model {base['model']}, whose tokenizer and class the model has."
    for name in (name for name in before if name.rpartition("/")[2] == "loss"):
        title, after = name.rpartition("/")[0], summary["held_out"][name]
        of = f" on other documents ({title})" if title else ""
        yield f"Held-out loss in nats{of}: {before[name]:.4f} before the first update, {after:.4f} at the end."


def _of_finetuning(
    run: Path,
    results: Mapping[str, Any],
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    known: Mapping[str, Any] | None,
) -> Told:
    task, cost = config.get("task", {}), results.get("cost", {})
    name, hub = card_words.task_name(task, str(results.get("task", ""))), task.get("hub")
    saw = dict(results.get("pretraining_saw", {}))
    scores = list(_scores(results["scores"]))
    for title, part in results.get("subtasks", {}).items():  # of public tasks, which a reader names
        saw |= {f"{split} of {title}": fact for split, fact in part.get("pretraining_saw", {}).items()}
        scores += [score._replace(split=f"{score.split} of {title}") for score in _scores(part["scores"])]
    own = "examples of the model's makers, which are not named here"
    pretrained = (
        []
        if known is None
        else [
            f"The encoder was pretrained with bertinchamps on a corpus of the fingerprint {known.get('corpus')}, "
            f"{known.get('spent', {}).get('tokens', 0):,} tokens read."
        ]
    )
    return Told(
        sources=[f"the task {name}" if name else own],
        datasets=[hub] if isinstance(hub, str) else [],
        fingerprint=facts["data_fingerprint"],
        task=name,
        base=card_words.hub_name(str(facts.get("encoder", ""))),
        overlap=[*pretrained, *(f"{in_a_sentence(fact, split)}." for split, fact in saw.items())],
        scores=scores,
        spent={key: cost[key] for key in SPENT if key in cost},
        cost=cost,
        config=_of_the_run(config, results),
        facts=facts,
        device=str(results.get("hardware", "")).split(";")[0],
        parameters=int(results.get("parameters", 0)),
        remarks=card_words.remarks(list(results.get("remarks", ()))),
        privacy=list(_privacy(results.get("privacy"))),
    )


def _privacy(facts: Mapping[str, Any] | None) -> Iterator[str]:
    """Sentences on the guarantee of a run, where its records were protected."""
    if facts is not None:
        yield f"{in_words(facts)}."
        yield str(facts["not_protected"])


def _scores(by_split: Mapping[str, Any]) -> Iterator[Score]:
    for split, protocols in with_current_protocols(by_split).items():
        for key, scores in protocols.items():
            if key not in PROTOCOLS:
                continue
            protocol = PROTOCOLS[key]
            for metric, title in protocol.metrics.items():
                value = scores.get(metric)
                if isinstance(value, int | float):
                    shown = f"{100 * value:.1f} %" if protocol.percent else f"{value:.4f}"
                    yield Score(split, protocol.title, metric, title, float(value), shown, protocol.remark)


def _overlap(known: Mapping[str, Any] | None) -> Iterator[str]:
    """Sentences on test sets that were looked for in the documents; a set is known by its digest."""
    own, *earlier = pretraining_facts.stages(known)
    yield from _overlap_of_one(own)
    for facts in earlier:
        of = f"The model {facts['model']}, with whose weights it began: "
        yield from (f"{of}{sentence[:1].lower()}{sentence[1:]}" for sentence in _overlap_of_one(facts))


def _overlap_of_one(facts: Mapping[str, Any]) -> Iterator[str]:
    sets = [(step, one) for step in facts.get("overlap", ()) for one in step.get("sets", ())]
    if not sets:
        yield "No test set was looked for in the documents, so it is not known which ones pretraining saw."
    for step, one in sets:
        counts = (
            f"{one['lines_found']:,} of {one['lines']:,} lines were found, and {one['lines_left']:,} are left"
            if "lines_left" in one
            else "its lines were not counted"
        )
        yield f"Test set {str(one.get('digest', ''))[:12]} (digest; action {step.get('action')}): {counts}."


def _of_the_run(config: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the run used: those of an architecture and a tokenizer are of models from scratch alone."""
    unused = () if config.get("model") == "scratch" else ("arch", "tokenizer")
    kept = {key: value for key, value in config.items() if key not in unused}
    rate = results.get("learning_rate")
    return {**kept, "optim": {**kept.get("optim", {}), **({} if rate is None else {"learning_rate": rate})}}


def _curve(file: Path) -> list[tuple[int, int, float]]:
    """Some points of the held-out loss, the last one among them."""
    try:
        records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []
    points = [
        (int(each["step"]), int(each.get("tokens", 0)), float(each["loss"]))
        for each in records
        if each.get("kind") == "held_out" and "loss" in each
    ]
    places = sorted(
        {round(at * (len(points) - 1) / (CURVE_ROWS - 1)) for at in range(CURVE_ROWS)} if points else ()
    )
    return [points[at] for at in places]
