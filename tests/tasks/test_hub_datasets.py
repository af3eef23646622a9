"""Tasks read from the Hub: what arrives, and what is told when nothing does."""

from __future__ import annotations

from pathlib import Path

import pytest
from dataset_hub import as_parquet, class_label, run, serving_dataset

from support import NO_HUB

PAIRS = "  - name: {}\n    dtype: string\n  - name: {}\n    dtype: string\n"
XNLI = PAIRS.format("premise", "hypothesis") + class_label(
    "label", ["entailment", "neutral", "contradiction"]
)
PAWSX = (
    "  - name: id\n    dtype: int32\n"
    + PAIRS.format("sentence1", "sentence2")
    + class_label("label", ["'0'", "'1'"])
)
READ = "for split, rows in task.read().items(): print(split, *(tuple(row) for row in rows))"
TOKENS = "  - name: tokens\n    list: string\n"
WORDS = [{"tokens": ["a"]}]


def test_xnli_has_its_labels_by_name(tmp_path: Path) -> None:
    rows = [{"premise": "Il pleut.", "hypothesis": "Il fait beau.", "label": 2}]
    splits = {"train": rows, "validation": [{**rows[0], "label": 0}], "test": [{**rows[0], "label": 1}]}
    with serving_dataset(as_parquet("fr", XNLI, splits)):
        output, _ = run(tmp_path, "task = readers.build('xnli', hub='facebook/xnli')\n" + READ)
    assert output.splitlines() == [
        f"{split} ('row 1', 'Il pleut.', 'Il fait beau.', ('{label}',))"
        for split, label in (("train", "contradiction"), ("dev", "entailment"), ("test", "neutral"))
    ]


def test_pawsx_without_the_rows_that_lack_a_sentence_or_a_label(tmp_path: Path) -> None:
    rows = [
        {"id": number, "sentence1": first, "sentence2": "Deux.", "label": label}
        for number, (first, label) in enumerate([("Un.", 1), ("NS", 0), ("Un.", -1), ("", 0)])
    ]
    code = (
        f"task = readers.build('pawsx', hub='google-research-datasets/paws-x')\n{READ}\nprint(task.dropped)"
    )
    with serving_dataset(as_parquet("fr", PAWSX, {"train": rows, "validation": rows[:1], "test": rows})):
        output, _ = run(tmp_path, code)
    assert output.splitlines() == [
        *(f"{split} ('row 1', 'Un.', 'Deux.', ('1',))" for split in ("train", "dev", "test")),
        "{'train': 3, 'dev': 0, 'test': 3}",
    ]


def test_cls_in_the_columns_of_flue(tmp_path: Path) -> None:
    features = "  - name: text\n    dtype: string\n" + class_label("label", ["negative", "positive"])
    splits = {"train": [{"text": "Beau.", "label": 1}], "test": [{"text": "Non.", "label": 0}]}
    with serving_dataset(as_parquet("CLS", features, splits)):
        output, _ = run(tmp_path, "task = readers.build('cls', hub='someone/flue')\n" + READ)
    assert output.splitlines() == [
        "train ('row 1', 'Beau.', None, ('positive',))",
        "test ('row 1', 'Non.', None, ('negative',))",
    ]


TAGGED = (
    "  - name: tokens\n    list: string\n  - name: ner_tags\n    list:\n      class_label:\n"
    "        names:\n          '0': O\n          '1': B-DISO\n          '2': I-DISO\n"
)


def test_quaero_in_columns_becomes_entities(tmp_path: Path) -> None:
    rows = [{"tokens": ["La", "rougeole", "grave"], "ner_tags": [0, 1, 2]}]
    code = f"task = readers.build('quaero', corpus='EMEA', hub='someone/QUAERO')\ntask.check()\n{READ}"
    with serving_dataset(as_parquet("emea", TAGGED, {"train": rows, "test": rows})):
        output, message = run(tmp_path, code)
    entities, words = "(Entity(label='DISO', fragments=((3, 17),)),)", "((0, 2), (3, 11), (12, 17))"
    expected = f"('row-1', 'La rougeole grave', {entities}, {words}, None)"
    assert (output.splitlines(), message) == ([f"train {expected}", f"test {expected}"], "")


def test_both_configurations_of_quaero_are_read_into_one_task(tmp_path: Path) -> None:
    rows = {name: [{"tokens": [name, "grave"], "ner_tags": [1, 0]}] for name in ("rougeole", "toux")}
    emea, medline = (
        as_parquet(configuration, TAGGED, {"train": own, "validation": own, "test": own})
        for configuration, own in zip(("emea", "medline"), rows.values(), strict=True)
    )
    # the README of a dataset lists its configurations
    first, second = (files["README.md"].decode() for files in (emea, medline))
    infos, configs = second.removeprefix("---\ndataset_info:\n").removesuffix("---\n").split("configs:\n")
    readme = first.replace("configs:\n", f"{infos}configs:\n{configs}", 1)
    code = (
        "task = readers.build('quaero', corpus='both', hub='someone/QUAERO')\ntask.check()\n"
        "for split, rows in task.read().items(): print(split, *(row[:2] for row in rows))"
    )
    with serving_dataset({**emea, **medline, "README.md": readme.encode()}):
        output, _ = run(tmp_path, code)
    assert output.splitlines() == [
        f"{split} ('EMEA-row-1', 'rougeole grave') ('MEDLINE-row-1', 'toux grave')"
        for split in ("train", "dev", "test")
    ]


@pytest.mark.parametrize(
    ("status", "code", "what"),
    [
        (403, "GatedRepo", "is gated: accept its terms at"),
        (404, "RepoNotFound", "was not found on"),
        (503, "", "answered 503"),
    ],
)
def test_a_refusal_is_told_in_words(tmp_path: Path, status: int, code: str, what: str) -> None:
    with serving_dataset({}, refusal=(status, code)):
        _, message = run(tmp_path, "readers.build('xnli', hub='facebook/xnli').check()")
    assert message.startswith("task.hub=facebook/xnli: the dataset ")
    assert what in message
    assert "get the data at https://github.com/facebookresearch/XNLI and name them" in message
    assert "task.path=PATH" in message


def test_a_hub_out_of_reach_and_offline_mode_are_reported(tmp_path: Path) -> None:
    code = "readers.build('pawsx', hub='a/b').read()"
    assert f"cannot be read: {NO_HUB['HF_ENDPOINT']} did not answer" in run(tmp_path, code)[1]
    assert "HF_HUB_OFFLINE is set" in run(tmp_path, code, HF_HUB_OFFLINE="1")[1]
    wrong = "readers.build('pawsx', hub='a/b/c').check()"
    assert run(tmp_path, wrong)[1].strip() == "task.hub=a/b/c: not a name of the form owner/name"


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"QUAERO.py": b"import datasets"}, "is a loading script"),
        (as_parquet("medline", TOKENS, {"train": WORDS}), "no configuration 'emea'"),
        (as_parquet("emea", TOKENS, {"train": WORDS}), "needed are train and test"),
        (as_parquet("emea", TOKENS, {"train": WORDS, "test": WORDS}), "has no column ner_tags"),
        ({"README.md": b"nothing"}, "the dataset "),
    ],
)
def test_a_dataset_that_cannot_be_used(tmp_path: Path, files: dict[str, bytes], what: str) -> None:
    code = "readers.build('quaero', corpus='EMEA', hub='DrBenchmark/QUAERO').read()"
    with serving_dataset(files):
        _, message = run(tmp_path, code)
    assert message.startswith("task.hub=DrBenchmark/QUAERO: the dataset ")
    assert what in message
    assert "https://quaerofrenchmed.limsi.fr/QUAERO_FrenchMed_brat.zip" in message
