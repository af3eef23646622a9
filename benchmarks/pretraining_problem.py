"""What benchmarks of pretraining train on: a configuration of a given shape, and blocks of random tokens."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bertinchamps.command_line.mistakes import mistakes
from bertinchamps.composing import configuration
from bertinchamps.errors import UserError
from bertinchamps.schemas import PretrainConfig

if TYPE_CHECKING:  # torch reads the environment when it is imported
    from bertinchamps.data.corpus import Corpus

BLOCKS = 4096
SEPARATOR, TOKENS_OF_A_DOCUMENT = 3, 150
CLIPPING = 0.5
IDS = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "mask_token_id": 4}
SHAPE = ("arch", "micro_batch", "accumulate", "sequence_length", "vocabulary", "mask_rate", "settings")


def add_options(words: argparse.ArgumentParser) -> None:
    """The options that say what an update computes."""
    words.add_argument("--arch", default="small", help="of configs/arch/ (%(default)s)")
    words.add_argument("--micro-batch", type=int, default=64, help="sequences (%(default)s)")
    words.add_argument("--accumulate", type=int, default=1, help="micro-batches an update (%(default)s)")
    words.add_argument("--sequence-length", type=int, default=128, help="tokens (%(default)s)")
    words.add_argument("--vocabulary", type=int, default=32768, help="entries (%(default)s)")
    words.add_argument("--mask-rate", type=float, default=0.15, help="share of the tokens (%(default)s)")
    words.add_argument("--threads", type=int, help="(all cores)")
    words.add_argument(
        "settings",
        nargs="*",
        metavar="KEY=VALUE",
        help="further settings of bertinchamps.pretrain, such as runtime.activation_checkpointing=true; they stand "
        "before options that take several words",
    )


def words_of(arguments: argparse.Namespace) -> list[str]:
    """The command line of `bertinchamps.pretrain` that has this shape."""
    return [
        f"arch={arguments.arch}",
        "data=demo",
        f"blocks.sequence_length={arguments.sequence_length}",
        f"objective.mask_rate={arguments.mask_rate}",
        f"batch.micro_batch={arguments.micro_batch}",
        f"batch.size={arguments.micro_batch * arguments.accumulate}",
        "batch.ramp=0",
        f"gradient_clipping={CLIPPING}",
        f"tokenizer.vocab_size={arguments.vocabulary}",
        *([f"runtime.threads={arguments.threads}"] if arguments.threads else []),
    ]


def composed(arguments: argparse.Namespace, words: Sequence[str]) -> PretrainConfig:
    """The configuration of this shape.

    Args:
        arguments: with what `add_options` added.
        words: settings of the benchmark; those of the command line overrule them.

    Raises:
        UserError: a setting that does not exist or has no such value.
    """
    problems = mistakes("pretrain", arguments.settings)
    if problems:
        raise UserError("\n".join(problems))
    config: PretrainConfig = configuration("pretrain", [*words_of(arguments), *words, *arguments.settings])
    return config


def random_corpus(config: PretrainConfig, folder: Path) -> Corpus:
    """Blocks of random tokens with a separator here and there, and empty files where a tokenizer's would be."""
    import numpy as np

    from bertinchamps.data.blocks import Blocks
    from bertinchamps.data.corpus import Corpus, ways_of_reading
    from bertinchamps.data.tokenizer import TOKENIZER_FILES, Vocabulary

    size, length = config.tokenizer.vocab_size, config.blocks.sequence_length
    file = folder / "train.bin"
    tokens = np.random.default_rng(0).integers(5, size, BLOCKS * length, dtype=np.uint16)
    tokens[::TOKENS_OF_A_DOCUMENT] = SEPARATOR
    tokens.tofile(file)
    for name in TOKENIZER_FILES:
        (folder / name).write_text("{}\n", encoding="utf-8")
    blocks = Blocks(file, length)
    vocabulary = Vocabulary(size, (0, 1, 2, 3, 4), 4, SEPARATOR, (), IDS)
    ways = ways_of_reading(config.blocks)
    return Corpus(folder, folder, "random", blocks, blocks, vocabulary, {}, *ways)
