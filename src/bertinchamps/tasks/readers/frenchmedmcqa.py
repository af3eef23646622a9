"""FrenchMedMCQA (Labrak et al., 2022): questions of pharmacy exams, of which one or several answers are right.

[{"id": "6979d4…", "question": "Cocher la (les) proposition(s) exacte(s) : Le métronidazole :",
  "answers": {"a": "Est un dérivé du pyrazole", "b": "Peut induire un effet antabuse", …},
  "correct_answers": ["b", "c"], …}, …]
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, ClassVar

from bertinchamps.contract import SPLITS, LabelledText
from bertinchamps.errors import UserError
from bertinchamps.tasks.readers import readers
from bertinchamps.tasks.readers.published import SplitFiles, decoded
from bertinchamps.tasks.readers.releases import Release
from bertinchamps.tasks.texts.choices import LETTERS

DIFFERENT = "; is this the official file?"


@readers.register("frenchmedmcqa")
class FrenchMedMcqa(SplitFiles):
    """The right ones of five answers to a question.

    Args:
        path: a folder that holds train.json, dev.json and test.json, or an archive of them.
    """

    kind = "multiple_choice"
    release = Release(
        name="FrenchMedMCQA",
        address="https://github.com/qanastek/FrenchMedMCQA",
        archives=("train.json, dev.json and test.json",),
    )
    patterns = tuple(f"{split}.json" for split in SPLITS)
    official: ClassVar[Mapping[str, int]] = {"train": 2_171, "dev": 312, "test": 622}

    def examples(self, path: PurePosixPath, content: bytes) -> Iterator[LabelledText]:
        """The questions of a file, named by their ids."""
        return _questions(path, decoded(path, content))


def _questions(path: PurePosixPath, text: str) -> Iterator[LabelledText]:
    seen: set[str] = set()
    for line, item in _items(path, text):
        where = f"{path}: line {line}"
        question = _question(where, item)
        if question.name in seen:  # two questions of the release's train have one id
            question = question._replace(name=f"{question.name}, line {line}")
        seen.add(question.name)
        yield question


def _items(path: PurePosixPath, text: str) -> Iterator[tuple[int, Any]]:
    """The values of a JSON list, each with the line in which it begins."""
    decoder, at = json.JSONDecoder(), _behind(text, 0)
    if text[at : at + 1] != "[":
        raise UserError(f"{path}: line 1: not a JSON list of questions{DIFFERENT}")
    at = _behind(text, at + 1)
    while text[at : at + 1] != "]":
        line = text.count("\n", 0, at) + 1
        try:
            item, end = decoder.raw_decode(text, at)
        except (json.JSONDecodeError, RecursionError):
            end = at
        after = _behind(text, end)
        if end == at or text[after : after + 1] not in (
            ",",
            "]",
        ):  # outside of the handler: it carries the text
            raise UserError(f"{path}: line {line}: a question that is not valid JSON; get the file again")
        yield line, item
        at = after if text[after] == "]" else _behind(text, after + 1)


def _behind(text: str, at: int) -> int:
    """The place of the first character from a place on that is no blank."""
    while text[at : at + 1].isspace():
        at += 1
    return at


def _question(where: str, item: Any) -> LabelledText:
    keys = ("id", "question", "answers", "correct_answers")
    if not isinstance(item, dict) or (missing := [key for key in keys if not item.get(key)]):
        lacking = ", ".join(missing) if isinstance(item, dict) else "an object"
        raise UserError(f"{where}: a question without {lacking}{DIFFERENT}")
    answers, right = item["answers"], item["correct_answers"]
    letters = LETTERS[: len(answers)]
    texts = [item["id"], item["question"], *(answers.values() if isinstance(answers, dict) else [None])]
    if not all(isinstance(text, str) and text.strip() for text in texts) or tuple(sorted(answers)) != letters:
        raise UserError(f"{where}: id, question and the answers a, b, c, … must be texts{DIFFERENT}")
    if not isinstance(right, list) or not all(letter in answers for letter in map(str, right)):
        raise UserError(f"{where}: correct_answers must be a list of some of {', '.join(letters)}{DIFFERENT}")
    lines = "\n".join(" ".join(answers[letter].split()) for letter in letters)
    return LabelledText(item["id"], item["question"], lines, tuple(sorted(dict.fromkeys(right))))
