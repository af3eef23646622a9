"""python -m bertinchamps.demo: three minutes of pretraining on the embedded toy corpus, and what it is good for."""

from __future__ import annotations

import sys

from bertinchamps import command_line

SETTINGS = ("data=demo", "arch=small", "+budget=3m")

if __name__ == "__main__":  # what follows imports torch, and waits until the command line has proved right
    command_line.run("pretrain", "bertinchamps.demo:demo", SETTINGS)
    sys.exit()

import json
from dataclasses import replace
from pathlib import Path

from transformers import pipeline

from bertinchamps.composing import configuration
from bertinchamps.console import tell
from bertinchamps.contract import AnnotatedText
from bertinchamps.data.sources.demo import SHOWCASE
from bertinchamps.finetune import finetune
from bertinchamps.predict import predict
from bertinchamps.pretrain import pretrain
from bertinchamps.schemas import FinetuneConfig, PredictConfig, PretrainConfig
from bertinchamps.tasks.formats import spans_jsonl
from bertinchamps.training.run_files import read_summary

GUESSES_SHOWN = 3
LEARNT = 0.6  # share of held-out masks that a model has right when it knows the toy's grammar; three minutes give 0.9
ENTITY_SETTINGS = ["task=demo", "head=nested"]
SENTENCES = (
    "La radiographie du thorax confirme la pneumonie.",
    "Contre la fièvre, le médecin prescrit du paracétamol.",
    "Une IRM du genou est prévue, car la patiente souffre d'arthrose et prend de la metformine.",
)


def demo(config: PretrainConfig) -> None:
    """Pretrain on the toy corpus, let the model fill masks, and teach it to find entities."""
    folder = pretrain(config)
    fill_masks(folder)
    found = find_entities(folder)
    tell(
        f"\nThe loss curve is in {folder / 'loss.png'}, the entities of the test notes in {found / 'predictions'}."
        "\nThis was a toy: data=files takes your own documents, task=ner your own entities."
    )


def fill_masks(pretrained: Path) -> None:
    """Show the model's guesses for masks whose answer the toy's grammar decides."""

    fill = pipeline("fill-mask", model=str(pretrained / "model"), top_k=GUESSES_SHOWN)
    summary = read_summary(pretrained)
    accuracy, updates = summary["held_out"]["accuracy"], summary["spent"]["steps"]
    tell("\nWhat it learnt of the toy corpus (its own guesses for the mask, and how sure it is):")
    if accuracy < LEARNT:
        tell(
            f"  {updates:,} updates fitted into the time here, and the model has {accuracy:.0%} of held-out masks "
            "right:\n  what follows is mostly guesswork. `python -m bertinchamps.demo +budget=10m` gives it longer."
        )
    for sentence, answer in SHOWCASE:
        guesses = ", ".join(f"{guess['token_str']} {guess['score']:.0%}" for guess in fill(sentence))
        tell(f"  {sentence:<50} {guesses:<50} the grammar says: {answer}")


def find_entities(pretrained: Path) -> Path:
    """Fine-tune the model on entities of the toy's clinical notes, and show those of a few sentences.

    Returns:
        The run's directory, which is beside that of pretraining.
    """

    tell("\nNow it learns to find disorders, drugs, sites and examinations in clinical notes of the toy:")
    composed: FinetuneConfig = configuration("finetune", ENTITY_SETTINGS)
    folder = finetune(replace(composed, model=str(pretrained), runs_dir=str(pretrained.parent)))
    sentences, found = folder / "sentences.jsonl", folder / "sentences_found.jsonl"
    sentences.write_text("".join(json.dumps({"text": text}) + "\n" for text in SENTENCES), encoding="utf-8")
    predict(PredictConfig(model=str(folder), input=str(sentences), output=str(found)))
    score = read_summary(folder, "finetune")["scores"]["test"]["nested_exact"]["f1"]
    tell(
        f"\nIts nested_exact F1 on the toy's test notes is {score:.3f}. What it finds in sentences like the toy's:"
    )
    for document in spans_jsonl.read(found):
        tell(f"  {bracketed(document)}")
    return folder


def bracketed(document: AnnotatedText) -> str:
    """The text with its entities in brackets, inside one another where they lie so."""
    inner_first = sorted(document.entities, key=lambda entity: entity.end - entity.start)
    marked = ""
    for place in range(len(document.text) + 1):
        marked += "".join(f"]({entity.label})" for entity in inner_first if entity.end == place)
        marked += (
            "[" * sum(entity.start == place for entity in inner_first) + document.text[place : place + 1]
        )
    return marked
