"""The ways of scoring that results.json may hold: which numbers, and what they mean. Said here, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """One way of scoring.

    Attributes:
        title: says what is counted.
        metrics: the numbers of a whole split, in the order of the columns.
        headline: the one that the figure shows.
        parts: the key of scores by type, tag or class, each with precision, recall, f1 and support; or empty.
        choosing: the numbers that may choose among weights on dev, the higher the better; the first does unless
            another is asked for.
        percent: shares of 1, shown as percentages; otherwise shown as they are.
        remark: printed under each of its tables.
    """

    title: str
    metrics: tuple[str, ...]
    headline: str
    parts: str = ""
    choosing: tuple[str, ...] = ()
    percent: bool = True
    remark: str | None = None


PART_METRICS = ("precision", "recall", "f1", "support")

PROTOCOLS = {
    "strict": Protocol(
        "entities, strict: same type and boundaries, longest spans only (IOB2)",
        ("precision", "recall", "f1"),
        headline="f1",
        parts="types",
    ),
    "nested_exact": Protocol(
        "entities, nested: same type and boundaries, entities inside entities included",
        ("precision", "recall", "f1"),
        headline="f1",
        parts="types",
    ),
    "paper": Protocol(
        "tags, the protocol of BERTinchamps",
        ("accuracy", "macro_f1", "weighted_f1"),
        headline="weighted_f1",
        parts="labels",
        remark="It scores tags one by one, and O, the commonest and easiest of them, is one of the classes: "
        "far above entity F1, and not comparable with it.",
    ),
    "classes": Protocol(
        "one class a text",
        ("accuracy", "macro_f1"),
        headline="accuracy",
        parts="classes",
        choosing=("accuracy", "macro_f1", "weighted_f1"),
    ),
    "multi_label": Protocol(
        "any number of labels a text",
        ("micro_f1", "macro_f1", "exact_match"),
        headline="micro_f1",
        parts="classes",
        choosing=("micro_f1", "macro_f1", "exact_match"),
    ),
    "number": Protocol(
        "a number a text",
        ("pearson", "spearman", "mean_absolute_error", "root_mean_squared_error"),
        headline="spearman",
        choosing=("spearman", "pearson"),
        percent=False,
    ),
}
