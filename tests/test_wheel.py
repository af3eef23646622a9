"""The same from an installed wheel in an empty directory: the yaml files and the templates travel inside it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support import QUICK, ROOT, command


@pytest.mark.long
def test_a_wheel_pretrains_in_an_empty_directory(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(tmp_path / "dist"),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    kinds = ("*.jinja", "*.txt")
    templates = [
        file.relative_to(ROOT / "src")
        for kind in kinds
        for file in (ROOT / "src" / "bertinchamps").rglob(kind)
    ]
    assert templates
    assert not [name for name in templates if not (tmp_path / "site" / name).is_file()]
    empty = tmp_path / "empty"
    empty.mkdir()
    site = {"PYTHONPATH": str(tmp_path / "site")}
    where = subprocess.run(
        [sys.executable, "-c", "import bertinchamps.composing as c; print(c.config_dir())"],
        cwd=empty,
        env={"PATH": "", **site},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.strip() == str(tmp_path / "site" / "bertinchamps" / "configs")
    result = command("bertinchamps.pretrain", *QUICK, "budget.steps=2", cwd=empty, **site)
    assert result.returncode == 0, result.stderr
    (model,) = empty.glob("runs/*/model")
    small = ["task=demo", "task.documents=20", "runtime=eager", "runtime.compile=off", "budget.epochs=0.2"]
    for words in (["bertinchamps.finetune", *small], ["bertinchamps.report"]):
        result = command(*words, cwd=empty, **site)
        assert result.returncode == 0, result.stderr
    assert "nested" in (empty / "report" / "report.md").read_text(encoding="utf-8")
    script = (
        "import bertinchamps\nfrom transformers import AutoModelForMaskedLM, AutoTokenizer\n"
        f"model = AutoModelForMaskedLM.from_pretrained({str(model)!r})\n"
        f"tokenizer = AutoTokenizer.from_pretrained({str(model)!r})\n"
        "print(model(**tokenizer('Le chat dort.', return_tensors='pt')).logits.shape[-1] >= len(tokenizer))"
    )
    opened = subprocess.run(
        [sys.executable, "-c", script],
        cwd=empty,
        env={"PATH": "", **site},
        capture_output=True,
        text=True,
        check=True,
    )
    assert opened.stdout.strip() == "True"
