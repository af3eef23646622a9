"""Small inputs of kinds that users of comparable tools have reported, and what is right for each, by the commands."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from bertinchamps.contract import AnnotatedText, Entity
from bertinchamps.tasks.formats import brat, conll, spans_jsonl
from bertinchamps.tasks.tagging.sentences import sentences
from perfect import predictions, recognition
from support import command
from test_finetune import QUICK, SCRATCH

TRAINING = [*QUICK, *SCRATCH, "budget.epochs=1", "run_dir=run"]


def finetuned(tmp_path: Path, *words: str) -> Any:
    """`python -m bertinchamps.finetune` with small settings, in a folder."""
    return command("bertinchamps.finetune", *TRAINING, *words, cwd=tmp_path)


def refused(result: Any) -> str:
    """What a command said that refused."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    return str(result.stderr)


def test_csv_with_line_ends_of_old_macs(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_bytes(b"text,label\rbonjour,pos\rsalut,neg\r")
    told = refused(finetuned(tmp_path, "task=classification", "task.train=old.csv"))
    assert "old.csv: line 1: not valid" in told
    assert "tr '\\r' '\\n'" in told


def test_lists_in_the_cells_of_a_table(tmp_path: Path) -> None:
    words = ["task=classification", "task.train=records.csv", "task.target=multi", "selection.dev_share=0.5"]
    json_cells = "".join(f'note {n},"[""vis"", ""outil""]"\nsuite {n},[]\n' for n in range(4))
    (tmp_path / "records.csv").write_text("text,label\n" + json_cells, encoding="utf-8")
    assert finetuned(tmp_path, *words).returncode == 0
    facts = json.loads((tmp_path / "run/model/task.json").read_text(encoding="utf-8"))
    assert facts["labels"] == ["outil", "vis"]
    (tmp_path / "records.csv").write_text("text,label\nnote,\"['vis', 'outil']\"\n", encoding="utf-8")
    told = refused(finetuned(tmp_path, *words))
    assert "records.csv: line 2: column 'label': a list that is not JSON" in told
    assert "json.dumps" in told


def test_classes_and_types_that_only_dev_has(tmp_path: Path) -> None:
    for name, classes in (("train", ("0", "1")), ("dev", ("0.0", "1.0"))):
        rows = "".join(f"{name} {n},{classes[n % 2]}\n" for n in range(12))
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    told = refused(finetuned(tmp_path, "task=classification", "task.train=train.csv", "task.dev=dev.csv"))
    assert "task.dev: classes that no training example has (2), the first in dev.csv, line 2" in told
    assert "in train, 2 of them are perhaps written otherwise, as 0.0 is beside 0" in told
    for name, labels in (("train", ("DISO", "CHEM")), ("dev", ("diso", "chem")), ("half", ("DISO", "chem"))):
        notes = [{"text": f"Une grippe {name} {n}.", "label": [[4, 10, labels[n % 2]]]} for n in range(8)]
        lines = "".join(json.dumps(note) + "\n" for note in notes)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    told = refused(finetuned(tmp_path, "task=ner", "task.train=train.jsonl", "task.dev=dev.jsonl"))
    assert "task.dev: none of its 2 labels is in the training examples" in told
    result = finetuned(tmp_path, "task=ner", "task.train=train.jsonl", "task.dev=half.jsonl")
    assert result.returncode == 0, result.stderr
    assert (
        "labels of dev that train lacks: 1, 4 times, each of which is missed" in result.stdout + result.stderr
    )


# --- texts with entities


def written(file: Path, content: str) -> Path:
    """The file, in a folder that is made if it does not exist."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.encode())
    return file


def told_of_entities(tmp_path: Path, *words: str) -> str:
    """What a fine-tuning run said that lost no entity."""
    result = finetuned(tmp_path, "task=ner", "task.train=train", "task.dev=dev", *words)
    assert result.returncode == 0, result.stderr
    assert "cannot hold" not in result.stderr
    return str(result.stderr)


def scores_of_no_mistake(documents: list[AnnotatedText]) -> list[float]:
    """F1 of strict and of nested exact, for each head, of a model that makes no mistake."""
    found = []
    for head in ("flat", "nested"):
        task = recognition({"train": documents, "dev": documents}, head)
        assert not task.lost["dev"]
        scores = task.scores("dev", predictions(task, "dev"))
        found += [scores["strict"]["f1"], scores["nested_exact"]["f1"]]
    return found


def test_brat_lines_that_brat_reads(tmp_path: Path) -> None:
    lines = {
        "norm": "T1\tDISO 0 8\tFracture\nN1\tReference T1 UMLS:C0016658\n",
        "values": "T1\tDISO 0 8\tFracture\nA1\tCertainty T1 very high\n",
        "no-text": "T1\tDISO 0 8\n",
        "further": "T1\tDISO 0 8\tFracture\tC0016658\n",
        "zero-width": "T1\tDISO 0 8\tFracture\nT32\tORG 5 5\t\n",
        "touching": "T1\tDISO 0 8;8 11\tFracture  du\n",
    }
    for name, ann in lines.items():
        for folder in ("train", "dev"):
            written(tmp_path / folder / f"{name}.txt", f"Fracture du col, {folder} {name}.")
            written(tmp_path / folder / f"{name}.ann", ann)
    told = told_of_entities(tmp_path)
    assert "train      DISO 6\ndev        DISO 6\n" in told
    assert "left out of task.train: entities without a character (1)" in told


def test_brat_newline_fragments(tmp_path: Path) -> None:
    ann = "T1\tDISO 0 11;12 15\tFracture du col\n"
    for name in ("train", "dev"):
        written(tmp_path / name / "a.txt", "Fracture du\ncol du fémur droit.\n")
        written(tmp_path / name / "a.ann", ann)
    told_of_entities(tmp_path, "head=nested")
    assert (tmp_path / "run/predictions/dev/gold/a.ann").read_text(encoding="utf-8") == ann
    documents = brat.read_folder(tmp_path / "dev")
    assert [entity.fragments for entity in documents[0].entities] == [((0, 15),)]
    assert scores_of_no_mistake(documents) == [1.0] * 4


def test_conll_comment_ends_in_tag(tmp_path: Path) -> None:
    cell = "# text = lymphocyte B-cell\nlymphocyte\tB-ANAT\nB-cell\tI-ANAT\n"
    group = "# text = groupe sanguin O\nGroupe\tO\nsanguin\tB-ANAT\n"
    written(tmp_path / "train.conll", cell)
    written(tmp_path / "dev.conll", group)
    told = told_of_entities(tmp_path, "task.train=train.conll", "task.dev=dev.conll")
    for split in ("train", "dev  "):
        assert f"{split}      1 documents, 1 examples, 1 windows, 2 words, 1 entities" in told
    assert "train      ANAT 1\ndev        ANAT 1\n" in told


def test_conll_resplit(tmp_path: Path) -> None:
    tags = {"Dr": "B-PERS", ".": "I-PERS", "Martin": "I-PERS", "10,5": "B-DOSE", "mg/j": "I-DOSE"}
    words = ["Dr", ".", "Martin", "prescrit", "aujourd'hui", "10,5", "mg/j", "d'", "SpO2"]
    rows = (
        "".join(f"{word}\t{tags.get(word, 'O')}\n" for word in words) + "\nPas\tO\nco-trimoxazole\tB-DOSE\n\n"
    )
    for name in ("train", "dev"):
        written(tmp_path / f"{name}.conll", rows)
    told_of_entities(tmp_path, "task.train=train.conll", "task.dev=dev.conll")
    predicted = (tmp_path / "run/predictions/dev.conll").read_text(encoding="utf-8")
    assert [line.split("\t")[0] for line in predicted.split("\n")] == [
        line.split("\t")[0] for line in rows.split("\n")
    ]
    documents = conll.read(tmp_path / "dev.conll")
    assert len(documents) == 2
    assert scores_of_no_mistake(documents) == [1.0] * 4


def test_conll_token_index(tmp_path: Path) -> None:
    written(tmp_path / "dev.conll", "Fracture\tB-DISO\n")
    germeval = "# http://source [2009]\n1\tFracture\tB-DISO\tO\n2\tdu\tI-DISO\tO\n3\tcol\tI-DISO\tB-ANAT\n"
    conllu = "1\tFracture\tfracture\tNOUN\t_\tB-DISO\n2-3\tdu\t_\t_\t_\tO\n2\tde\tde\tADP\t_\tO\n3\tle\tle\tDET\t_\tO\n"
    for name, content, line, tags in (("germeval.tsv", germeval, 2, "3, 4"), ("a.conllu", conllu, 1, "6")):
        written(tmp_path / name, content)
        told = refused(finetuned(tmp_path, "task=ner", f"task.train={name}", "task.dev=dev.conll"))
        assert f"{name}: line {line}: the first column counts 1, 2, 3, …: it numbers the words" in told
        assert f"task.word_column=2 task.label_column={tags[0]} (columns of tags here: {tags})" in told
        assert "Fracture" not in told
    told = refused(
        finetuned(tmp_path, "task=ner", "task.train=a.conllu", "task.word_column=0", "task.scheme=iob")
    )
    assert "task.word_column=0: columns count from 1" in told
    assert "task.scheme=iob: one of auto, iob2, bioes, iob1, io" in told


def test_jsonl_utf16_offsets(tmp_path: Path) -> None:
    span = {"start": 11, "end": 19, "label": "CHEM", "text": "aspirine"}
    written(tmp_path / "train.jsonl", json.dumps({"text": "💊 Prise d'aspirine ce soir.", "spans": [span]}))
    told = refused(finetuned(tmp_path, "task=ner", "task.train=train.jsonl"))
    assert "train.jsonl: line 1: spans[0]: the text of the entity is not the text at its offsets" in told
    assert "the offsets seem to count UTF-16 units" in told
    assert "aspirine" not in told
    assert "CHEM" not in told


def test_spacy_quadratic() -> None:
    sentences("Une toux.")  # spaCy is loaded
    for row in "_!=(☐":
        began = time.process_time()
        found = sentences(f"Nom : {row * 20_000}. Suite ici.")
        assert [found[0][0], found[-1]] == [0, (20_008, 20_018)]
        assert time.process_time() - began < 5
    form = AnnotatedText("form", f"Nom : {row * 2_000}. Suite ici.", (Entity("X", ((2_008, 2_013),)),))
    assert scores_of_no_mistake([form]) == [1.0] * 4


def test_spans_with_blank_or_invisible(tmp_path: Path) -> None:
    rows = [
        {"text": "Prise d'aspirine ce soir.", "label": [[8, 17, "CHEM"]]},
        {"text": "Prise d'aspirine\u200b ce soir.", "label": [[8, 16, "CHEM"]]},
        {"text": "Prise d'\u200baspirine ce soir.", "label": [[9, 17, "CHEM"]]},
        {"text": "Prise d'aspirine\u00ad ce soir.", "label": [[8, 16, "CHEM"]]},
        {"text": "\ufeffaspirine ce soir", "label": [[1, 9, "CHEM"]]},
    ]
    for name in ("train", "dev"):
        written(tmp_path / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    told = told_of_entities(tmp_path, "task.train=train.jsonl", "task.dev=dev.jsonl")
    assert "train      CHEM 5\n" in told
    documents = spans_jsonl.read(tmp_path / "dev.jsonl")
    assert scores_of_no_mistake(documents) == [1.0] * 4


def write_texts(file: Path, texts: list[str]) -> None:
    rows = (json.dumps({"text": text}, ensure_ascii=False) for text in texts)
    file.write_text("".join(row + "\n" for row in rows), encoding="utf-8")


def prepared(folder: Path, *words: str) -> str:
    """What `prepare` says of a corpus of small blocks, built into the folder's own cache."""
    settings = ["data=files", "tokenizer.vocab_size=400", "blocks.sequence_length=16", *words]
    cache = {"BERTINCHAMPS_CACHE": str(folder / "cache")}
    result = command("bertinchamps.prepare", *settings, cwd=folder, **cache)
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_heldout_leak_cleaning(tmp_path: Path) -> None:
    """Copies of held-out documents are dropped although a cleaning step mends them before they are trained on."""
    notes = [f"La patiente {n} est âgée de {n % 90} ans et tousse depuis l'été." for n in range(240)]
    held_out = [note.encode().decode("windows-1252") for note in notes[:40]]
    write_texts(tmp_path / "held.jsonl", held_out)
    write_texts(tmp_path / "train.jsonl", [*notes[40:], *held_out])
    files = ["data.files=[train.jsonl]", "data.held_out_files=[held.jsonl]"]
    said = prepared(tmp_path, *files, "cleaning=[{name: unicode}]")
    assert "40 documents: copy of a held-out document" in said
    assert "200 documents" in next(line for line in said.splitlines() if line.startswith("train "))


def test_special_tokens_in_text(tmp_path: Path) -> None:
    """Names of special tokens that documents hold are text: no mask, no padding, and no end of a document."""
    notes = [
        f"Note {n} : [MASK] du soir [SEP] au [PAD] matin [UNK], lit {n} [CLS] [SEP]." for n in range(200)
    ]
    write_texts(tmp_path / "notes.jsonl", notes)
    said = prepared(tmp_path, "data.files=[notes.jsonl]", "blocks.held_out_share=0.1", "stats=corpus.html")
    for split in ("train", "held_out"):
        (file,) = (tmp_path / "cache").rglob(f"{split}.bin")
        ids = np.fromfile(file, dtype=np.uint16)
        (counted,) = (line for line in said.splitlines() if line.startswith(split))
        assert int((ids == 3).sum()) == int(counted.split()[1])
        assert not np.isin(ids, [0, 1, 2, 4]).any()
    (tokenizer,) = (tmp_path / "cache" / "tokenizers").iterdir()
    opened = AutoTokenizer.from_pretrained(tokenizer)
    assert opened("Le [MASK].", add_special_tokens=False)["input_ids"].count(opened.mask_token_id) == 1


def test_report_mixes_settings(tmp_path: Path) -> None:
    """A run of another rate is neither a repetition nor another seed."""
    for name, rate, seed in (("fast", "3e-3", 0), ("slow", "1e-5", 0), ("slow_1", "1e-5", 1)):
        parts = {"precision": 0.5, "recall": 0.5, "f1": 0.5}
        results = {
            "task": "ner_notes", "kind": "ner", "head": "flat", "model": "scratch", "model_label": "scratch",
            "parameters": 7, "seed": seed, "command": f"python -m bertinchamps.finetune optim.learning_rate={rate}",
            "data_fingerprint": "a", "finished": "2026-11-26T12:00:00+0000", "hardware": "CPU", "data": {},
            "remarks": [], "cost": dict.fromkeys(("seconds", "steps", "tokens", "flops", "epochs"), 1.0),
            "settings": {"optim.learning_rate": float(rate)}, "scores": {"test": {"strict": {**parts, "types": {}}}},
        }  # fmt: skip
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "results.json").write_text(json.dumps(results), encoding="utf-8")
    result = command("bertinchamps.report", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "left out" not in result.stderr
    page = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "| scratch, flat (optim.learning_rate=1e-05) | 7 | 50.0 ± 0.0 |" in page
    assert "| scratch, flat (optim.learning_rate=0.003) | 7 | 50.0 |" in page
