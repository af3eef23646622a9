"""What the README and the docs tell people to type is run here, and what they tell people to write, too."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from bertinchamps.tasks.formats import doccano, label_studio, prodigy, spans_jsonl, xmi_writing
from letters import templates
from support import QUICK, ROOT, command
from tiny_corpora import (
    brat_corpus,
    documents,
    linked_cases,
    medical_texts,
    of_inception,
    opinions,
    related,
    related_corpus,
)

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)  # code, in which [text](LABEL) is no link

WHOLE = ("extending.md", "tutorial.md")  # whose blocks go on from one another, and have a test of their own

# Set-up that this test run itself went through, or that needs another machine.
NOT_OURS = ("make ", "git clone", "cd ", "pip install", "python -m benchmarks.")

# A command of the docs is run as it stands, with these after it, so that it takes seconds.
SMALLER = [word for word in QUICK if not word.startswith("data")] + [
    "arch.num_hidden_layers=1",
    "batch.size=8",
    "runtime.compile=off",
]


SWEPT = re.compile(r"^([\w.]+=[\w.]+)(,[\w.]+)+$")  # of a sweep the first job; tests of sweeps have several

FINETUNING = ["runtime=eager", "runtime.compile=off", "runtime.threads=1", "max_length=48", "budget.epochs=1"]


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page.name, text)
        for page in PAGES
        for found, text in BLOCK.findall(page.read_text(encoding="utf-8"))
        if found == language and page.name not in WHOLE
    ]


def commands() -> list[tuple[str, str]]:
    """The commands of the pages, each once, though several pages may have it, with other remarks behind it."""
    lines = [(page, line) for page, text in blocks("bash") for line in text.replace("\\\n", " ").splitlines()]
    found: dict[str, tuple[str, str]] = {}
    for page, line in lines:
        words = line.partition(" #")[0].strip()
        if words and not line.startswith("#"):
            found.setdefault(words, (page, line.strip()))
    return list(found.values())


def notes_in(folder: Path) -> None:
    """The files that the docs' commands name."""
    names = ["notes/a", "train", "held_out", "eltec_train", "eltec_valid"]
    names += ["e3c_fr_layer3", "e3c_rest", "cases_held_out", "fr_medical"]
    for name in (f"{name}.jsonl" for name in names):
        (folder / name).parent.mkdir(exist_ok=True)
        texts = [
            f"Dans {name}, le patient {n} présente une fièvre et tousse la nuit. " * 8 for n in range(300)
        ]
        lines = "\n".join(json.dumps({"text": text}, ensure_ascii=False) for text in texts)
        (folder / name).write_text(lines, encoding="utf-8")
    (folder / "terms.txt").write_text("patient\nfièvre\n", encoding="utf-8")
    with zipfile.ZipFile(folder / "QUAERO_FrenchMed_brat.zip", "w") as archive:
        for corpus in ("EMEA", "MEDLINE"):
            text = "Ce médicament ne doit pas être donné à un patient qui tousse."
            for split in ("dev", "test"):
                archive.writestr(f"QUAERO_FrenchMed/corpus/{split}/{corpus}/1.txt", text)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained run and one fine-tuned from it, which the docs' commands go on from."""
    folder = tmp_path_factory.mktemp("runs")
    trained = command("bertinchamps.pretrain", *QUICK, "budget.steps=1", "run_dir=runs/mine", cwd=folder)
    assert trained.returncode == 0, trained.stderr
    corpus = brat_corpus(folder / "brat")
    tuned = command("bertinchamps.finetune", *corpus, *FINETUNING, "run_dir=runs/tagger", cwd=folder)
    assert tuned.returncode == 0, tuned.stderr
    return folder


@pytest.fixture(scope="module")
def teacher(runs: Path) -> Path:
    """A model with the nested head."""
    words = ["task=ner", "task.train=brat/train", "head=nested", *FINETUNING, "run_dir=runs/teacher"]
    tuned = command("bertinchamps.finetune", *words, cwd=runs)
    assert tuned.returncode == 0, tuned.stderr
    return runs / "runs" / "teacher"


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs/sparse, a pretrained model whose layers have zeros."""
    folder = tmp_path_factory.mktemp("sparse")
    words = [*QUICK, "budget.steps=1", "sparsity=static", "run_dir=runs/sparse"]
    trained = command("bertinchamps.pretrain", *words, cwd=folder)
    assert trained.returncode == 0, trained.stderr
    return folder


def write_plans(folder: Path) -> None:
    """The plans of studies and searches in the docs, smaller: one value of each key of a grid, few epochs."""
    for page, text in blocks("yaml"):
        plan = yaml.safe_load(text)
        if set(plan) in ({"settings", "grid"}, {"settings", "search"}, {"settings", "search", "each"}):
            plan["settings"] |= dict(word.split("=") for word in FINETUNING)
            if "grid" in plan:
                plan["grid"] = {key: values[:1] for key, values in plan["grid"].items()}
            if "each" in plan:
                plan["each"] = {key: values[:2] for key, values in plan["each"].items()}
            name = text.partition("\n")[0].removeprefix("# ")
            assert name.endswith(".yaml"), f"{page}: a plan begins with the name of its file"
            (folder / name).write_text(yaml.safe_dump(plan), encoding="utf-8")


@pytest.fixture(scope="module")
def adapter(runs: Path) -> Path:
    """A model with an adapter."""
    words = ["task=ner", "task.train=brat/train", "adapter=lora", *FINETUNING, "run_dir=runs/lora"]
    tuned = command("bertinchamps.finetune", *words, cwd=runs)
    assert tuned.returncode == 0, tuned.stderr
    return runs / "runs" / "lora"


@pytest.fixture(scope="module")
def modern(runs: Path) -> Path:
    """A folder with runs/modern, a pretrained model that a stock class can hold, and `exported` from it."""
    words = [word for word in QUICK if not word.startswith("arch")] + ["arch=modern", "budget.steps=1"]
    words += ["arch.num_hidden_layers=1", "arch.hidden_size=32", "arch.num_attention_heads=2"]
    folder = runs / "modern"
    folder.mkdir()
    words += ["arch.intermediate_size=64", "run_dir=runs/modern"]
    for line in (["pretrain", *words], ["export", "model=runs/modern", "output=exported"]):
        made = command(f"bertinchamps.{line[0]}", *line[1:], cwd=folder)
        assert made.returncode == 0, made.stderr
    return folder


def annotated_files(folder: Path, runs: Path) -> None:
    """The annotated files and the runs that the docs' commands name."""
    brat_corpus(folder / "brat")
    (folder / "letters").mkdir()
    (folder / "letters" / "a.txt").write_text("Le kyste du rein est traité par aspirine.", encoding="utf-8")
    (folder / "words.conll").write_text("Le\nkyste\ndu\nrein\n.\n", encoding="utf-8")
    rows = "".join(f'"note {n}","{"A|B" if n % 2 else "A"}"\n' for n in range(40))
    (folder / "records.csv").write_text("text,codes\n" + rows, encoding="utf-8")
    for split in ("train", "test"):
        opinions(folder / f"topic_1_{split}.jsonl", label="category")
    pawsx = folder / "data/pawsx/x-final/fr"
    pawsx.mkdir(parents=True)
    templates(folder)
    (folder / "secret.key").write_text("0123456789abcdef", encoding="utf-8")
    pairs = "".join(f"{n}\tnote {n}\tsuite {n}\t{n % 2}\n" for n in range(20))
    for name in ("translated_train", "dev_2k", "test_2k"):
        (pawsx / f"{name}.tsv").write_text(f"id\tsentence1\tsentence2\tlabel\n{pairs}", encoding="utf-8")
    medical_texts(folder / "data")
    for corpus in ("EMEA", "MEDLINE"):
        for split in ("train", "dev", "test"):
            shutil.copytree(
                folder / "brat" / split, folder / "data/quaero/QUAERO_FrenchMed/corpus" / split / corpus
            )
    related_corpus(folder / "linked")
    of_inception(folder / "linked_xmi", related(12))
    linked_cases(folder / "data/e3c")
    if runs.joinpath("runs", "linker").is_dir():
        shutil.copytree(runs / "runs" / "linker", folder / "linker")
    for name in ("mine", "small", "medical"):
        shutil.copytree(runs / "runs" / "mine", folder / "runs" / name)
    shutil.copytree(runs / "runs" / "tagger", folder / "tagger")
    shutil.copytree(runs / "runs" / "tagger", folder / "runs" / "tagger")


def exports_of_tools(folder: Path) -> None:
    """What annotation tools export."""
    items = [spans_jsonl.as_item(document) for document in documents(12)]
    label_studio.write(folder / "export.json", items)
    doccano.write(folder / "doccano.jsonl", items)
    prodigy.write(folder / "prodigy.jsonl", items)
    for document in documents(12):
        xmi_writing.write_document(folder / "inception", document)


@pytest.fixture(scope="module")
def linker(runs: Path) -> Path:
    """A model of relations."""
    words = [*related_corpus(runs / "linked"), "model=runs/mine", *FINETUNING, "run_dir=runs/linker"]
    tuned = command("bertinchamps.finetune", *words, cwd=runs)
    assert tuned.returncode == 0, tuned.stderr
    return runs / "runs" / "linker"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus that was prepared with the settings in SMALLER, and exported."""
    folder = tmp_path_factory.mktemp("exports") / "corpus"
    shaping = [word for word in QUICK if word.startswith(("data", "tokenizer", "blocks"))]
    made = command("bertinchamps.prepare", *shaping, f"export={folder}", cwd=folder.parent)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_runs(page: str, line: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if line.startswith(NOT_OURS):
        return
    notes_in(tmp_path)
    typed, _, line = line.rpartition(" | ")
    launcher: list[str] = []
    if line.startswith("torchrun "):
        options, _, rest = line.removeprefix("torchrun ").partition(" -m ")
        launcher, line = ["torch.distributed.run", *shlex.split(options), "-m"], f"python -m {rest}"
    small = line.replace(".jsonl.zst", ".jsonl").replace("name: demo", "name: demo,documents: 400")
    words = [SWEPT.sub(r"\1", word) for word in shlex.split(small, comments=True)]
    assert words[:2] == ["python", "-m"], f"{page}: this test does not know how to run: {line}"
    module, settings = words[2], words[3:]
    if "data.folder=corpus" in settings:
        shutil.copytree(request.getfixturevalue("export"), tmp_path / "corpus")
    if "linker" in line:
        request.getfixturevalue("linker")
    if module.endswith(("study", "tune")):
        write_plans(tmp_path)
    if module.endswith("finetune"):
        exports_of_tools(tmp_path)
    if module.endswith(
        ("finetune", "predict", "suggest", "compress", "export", "study", "tune", "report", "serve", "purge")
    ):
        annotated_files(tmp_path, request.getfixturevalue("runs"))
    if module.endswith("pretrain") and "runs/mine" in line:
        shutil.copytree(request.getfixturevalue("runs") / "runs" / "mine", tmp_path / "runs" / "mine")
    if "model=runs/sparse" in line:
        shutil.copytree(request.getfixturevalue("sparse") / "runs" / "sparse", tmp_path / "runs" / "sparse")
    if "model=runs/lora" in line:
        shutil.copytree(request.getfixturevalue("adapter"), tmp_path / "runs" / "lora")
    if {"model=runs/modern", "model=exported", "model=runs/classes"} & set(settings):
        made = request.getfixturevalue("modern")
        shutil.copytree(made / "runs" / "modern", tmp_path / "runs" / "modern")
        if "output=exported" not in settings:
            shutil.copytree(made / "exported", tmp_path / "exported")
    if "model=runs/classes" in settings:
        given = ["task=classification", "task.train=records.csv", "task.label=codes", "model=exported"]
        tuned = command("bertinchamps.finetune", *given, *FINETUNING, "run_dir=runs/classes", cwd=tmp_path)
        assert tuned.returncode == 0, tuned.stderr
    if "distillation.teachers" in line:
        for number in range(3):
            shutil.copytree(request.getfixturevalue("teacher"), tmp_path / "teachers" / str(number))
    if module.endswith("prepare"):
        smaller = [word for word in SMALLER if word.split(".")[0] in ("tokenizer", "blocks")]
        smaller += ["cluster.workers=1", "cluster.tasks=1"] if "+cluster=local" in line else []
    elif module.endswith("finetune"):
        smaller = [*FINETUNING, "tokenizer.vocab_size=200"]
        smaller += ["distillation.passages=20"] if "distillation.files" in line else []
        smaller += ["distillation.teacher_epochs=1"] if "recipe=self_training" in line else []
        smaller += ["task.documents=60"] if "task=deidentification" in line else []
        smaller += ["task.documents=60", "batch.size=8"] if "privacy=dp_sgd" in line else []
    elif not module.endswith("pretrain"):
        smaller = ["runtime=eager"] if module.endswith(("predict", "suggest", "compress")) else []
        smaller += ["measure.repeats=1"] if module.endswith("compress") else []
        smaller += ["trials=1"] if module.endswith("tune") else []
    else:
        smaller = [*SMALLER, "budget.steps=1"]
        smaller += ["arch.num_hidden_layers=3"] if "grow.model" in line else []
        if any(word.startswith("model=") for word in settings):  # which brings architecture and tokenizer
            smaller = [word for word in smaller if not word.startswith(("arch", "tokenizer"))]
        if "blocks.lengths" in line:  # which end in the command's own length of blocks
            smaller = [word for word in smaller if not word.startswith("blocks.sequence_length")]
        smaller = [
            word for word in smaller if f"{word.split('=')[0]}=" not in line or "--multirun" not in words
        ]
    if "data=demo" in settings:
        smaller.append("data.documents=400")
    if "--cfg" in words or "--help" in words:
        smaller = []
    stdin = typed.removeprefix("echo ").strip('"') if typed else None
    result = command(*launcher, module, *settings, *smaller, cwd=tmp_path, stdin=stdin)
    streams_the_hub = (
        module.endswith("pretrain") and "data=" not in line and not {"--help", "--cfg"} & set(words)
    )
    if module.endswith("publish") and "dry_run=true" not in settings:
        assert result.returncode == 2
        assert (
            "no token" in result.stderr or "did not answer" in result.stderr
        )  # where somebody has logged in
    elif streams_the_hub:
        assert result.returncode == 2
        assert "did not answer" in result.stderr
    else:
        assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("page", "code"), blocks("python"))
def test_every_python_example_runs(
    page: str, code: str, tmp_path: Path, runs: Path, request: pytest.FixtureRequest
) -> None:
    shutil.copytree(runs / "runs" / "mine", tmp_path / "RUN")
    if "runs/lora" in code:
        shutil.copytree(request.getfixturevalue("adapter"), tmp_path / "runs" / "lora")
        shutil.copytree(runs / "runs" / "tagger", tmp_path / "tagger")
    if "bertinchamps_ner" in code:  # which spaCy finds where this very source is installed
        shutil.copytree(runs / "runs" / "tagger", tmp_path / "tagger")
        code = f"import bertinchamps.spacy_components\n{code}"
    if "import edsnlp" in code:
        pytest.importorskip("edsnlp", reason="EDS-NLP is not installed (extra peers)")
    if '"exported"' in code:
        shutil.copytree(request.getfixturevalue("modern") / "exported", tmp_path / "exported")
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    result = command("example", cwd=tmp_path, PYTHONPATH=path)
    assert result.returncode == 0, result.stderr


@pytest.mark.long
def test_extending_is_one_file_or_function_and_one_yaml(tmp_path: Path) -> None:
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    ran = 0
    for language, block in BLOCK.findall(text):
        if language == "bash":
            for line in block.splitlines():
                module, *settings = shlex.split(line)[2:]
                shorter = {"prepare": ["tokenizer.vocab_size=200"], "finetune": FINETUNING, "predict": []}
                words = [*settings, *shorter.get(module.rpartition(".")[2], SMALLER)]
                words += ["data.documents=400"] if "data=demo" in settings else []
                result = command(module, *words, cwd=tmp_path, PYTHONPATH=str(tmp_path / "src"))
                assert result.returncode == 0, result.stderr
                ran += 1
            continue
        first, _, rest = block.partition("\n")
        path = tmp_path / first.removeprefix("# ").removesuffix(" (added)")
        if first.endswith("(added)"):
            path.write_text(path.read_text(encoding="utf-8") + "\n\n" + rest, encoding="utf-8")
        else:
            assert not path.exists()
            path.write_text(rest, encoding="utf-8")
    assert ran == 10
    assert (tmp_path / "graded.csv").is_file()


TUTORIAL = {  # the same sizes for all of its commands, by module
    "demo_notes": ["notes=60", "annotated=20", "letters=2"],
    "prepare": [word for word in SMALLER if word.split(".")[0] in ("tokenizer", "blocks")],
    "pretrain": [*SMALLER, "budget.steps=1"],
    "finetune": FINETUNING,
    "predict": ["runtime=eager"],
    "report": [],
}


@pytest.mark.long
def test_the_tutorial_runs_from_top_to_bottom(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    ran = []
    for language, block in BLOCK.findall(text):
        if language == "python":
            (tmp_path / "example.py").write_text(block, encoding="utf-8")
            path = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
            result = command("example", cwd=tmp_path, PYTHONPATH=path)
            assert len(result.stdout.splitlines()) == 5, result.stderr
        for line in block.splitlines() if language == "bash" else []:
            module, *settings = shlex.split(line)[2:]
            name = module.rpartition(".")[2]
            smaller = TUTORIAL[name] + (["task.documents=60"] if "task=deidentification" in settings else [])
            quick = [word.replace("few_shot.examples=8,32", "few_shot.examples=4") for word in settings]
            result = command(module, *quick, *smaller, cwd=tmp_path)
            assert result.returncode == 0, f"{line}\n{result.stderr}"
            ran.append(name)
    assert set(ran) == set(TUTORIAL)
    left = {path.name for path in tmp_path.iterdir()} - {"example.py", "__pycache__"}
    assert left == {"demo", "runs", "corpus.html", "labelled", "found.csv", "letter.html", "hidden", "report"}


def test_the_normalisers_do_what_the_docs_say() -> None:
    from bertinchamps.data.normalizers import normalizers_by_name

    rows = re.findall(
        r"^\| (\S.*?) \| (.*?) \| (.*?) \|$", (ROOT / "docs/tokenizer.md").read_text("utf-8"), re.MULTILINE
    )
    shown = [row for row in rows if row[0] not in ("written", "---")]
    assert {row[0] for row in shown} == {"œdème", "500 µg", "39 °C", "sœur"}
    for written, french, paper in shown:
        assert normalizers_by_name.build("french").normalize_str(written) == french
        assert normalizers_by_name.build("paper").normalize_str(written) == paper


def test_words_end_where_the_docs_say() -> None:
    from bertinchamps.data.word_cutting import word_cutter

    page = (ROOT / "docs/tokenizer.md").read_text("utf-8")
    table = page[page.index("| key | ") :].split("\n\n")[0].splitlines()
    text = table[0].split("|")[2].strip()
    rows = [line.strip("|").split("|") for line in table[2:]]
    assert [key.strip() for key, _ in rows] == [
        "",
        "`tokenizer.split_digits=true`",
        "`tokenizer.join_elisions=true`",
    ]
    for key, words in rows:
        cutter = word_cutter("split_digits" in key, "join_elisions" in key)
        assert [word for word, _ in cutter.pre_tokenize_str(text)] == re.findall(r"`(\S+)`", words)


def test_the_map_and_the_readme_name_every_room() -> None:
    rooms = {
        p.stem if p.suffix else p.name for p in (ROOT / "src/bertinchamps").iterdir() if p.name[0] != "_"
    }
    rooms -= {"py.typed"}
    for page in (ROOT / "README.md", ROOT / "docs" / "map.md"):
        text = page.read_text(encoding="utf-8")
        assert not {room for room in rooms if room not in text}, page


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", FENCED.sub("", page.read_text(encoding="utf-8"))):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} → {target}"


@pytest.mark.parametrize(
    ("walk", "most"), [("From `pretrain` to the loss", 8), ("From a brat file to a score", 10)]
)
def test_the_walks_of_the_map_enter_files_that_exist_once(walk: str, most: int) -> None:
    text = (ROOT / "docs" / "map.md").read_text(encoding="utf-8")
    paragraph = text[text.index(walk) :].partition("\n\n")[0]
    files = re.findall(r"`([\w/]+\.py)`", paragraph)
    assert 5 < len(files) == len(set(files)) <= most
    assert [name for name in files if not (ROOT / "src" / "bertinchamps" / name).is_file()] == []
