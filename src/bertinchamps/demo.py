"""python -m bertinchamps.demo: three minutes of pretraining on the embedded toy corpus, and what it learnt."""

from __future__ import annotations

import sys

from bertinchamps import command_line
from bertinchamps.config import PretrainConfig
from bertinchamps.prepare import tell
from bertinchamps.pretrain import pretrain, problems

SETTINGS = ["data=demo", "arch=small", "+budget=3m"]
GUESSES_SHOWN = 3


def demo(config: PretrainConfig) -> None:
    """Pretrain on the toy corpus, then let the model fill masks whose answer the toy's grammar decides."""
    from transformers import pipeline

    from bertinchamps.data.sources.demo import SHOWCASE

    folder = pretrain(config)
    fill = pipeline("fill-mask", model=str(folder / "model"), top_k=GUESSES_SHOWN)
    tell("\nWhat it learnt of the toy corpus (its own guesses for the mask, and how sure it is):")
    for sentence, answer in SHOWCASE:
        guesses = ", ".join(f"{guess['token_str']} {guess['score']:.0%}" for guess in fill(sentence))
        tell(f"  {sentence:<50} {guesses:<50} the grammar says: {answer}")
    tell(
        f"\nThe loss curve is in {folder / 'loss.png'}. This was a toy: data=files takes your own documents."
    )


def main() -> None:
    """Entry point of `python -m bertinchamps.demo`; settings on the command line replace the demo's own."""
    given = {word.partition("=")[0] for word in sys.argv[1:]}
    sys.argv[1:1] = [word for word in SETTINGS if word.partition("=")[0] not in given]
    command_line.run("pretrain", demo, problems)


if __name__ == "__main__":
    main()
