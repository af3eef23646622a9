"""Mistakes in the settings of data, cleaning, tokenizer and blocks, found before anything is read."""

from __future__ import annotations

from bertinchamps.data.cleaning import cleaning_problems
from bertinchamps.data.cleaning.stages import compares
from bertinchamps.data.planning import without_online
from bertinchamps.data.prepared import is_prepared, prepared_problems
from bertinchamps.data.sources import sources
from bertinchamps.data.tokenizer import tokenizer_problems
from bertinchamps.schemas import BlocksConfig, PrepareConfig, named

DOCUMENTS = ("packed", "apart")
MOST_LENGTHS = 4  # because a compiled loss is compiled for each


def corpus_problems(config: PrepareConfig) -> list[str]:
    """Mistakes in the settings of data, cleaning, tokenizer and blocks, in the user's key names."""
    if is_prepared(config.data):
        return prepared_problems(config) + _blocks_problems(config.blocks)
    problems = sources.problems(*named(without_online(config.data)))
    problems += cleaning_problems(config.cleaning) + tokenizer_problems(config.tokenizer)
    undoing = [] if problems or config.data.get("name") != "mix" else compares(config.cleaning)
    if undoing:
        problems.append(
            f"cleaning: {', '.join(undoing)} would undo the up-sampling of a mix; give each of data.sources its own"
        )
    if not isinstance(config.data.get("online", False), bool):
        problems.append(f"data.online={config.data['online']}: true or false")
    if not problems and config.data.get("online"):
        problems += _online_problems(config)
    return problems + _blocks_problems(config.blocks)


def _blocks_problems(blocks: BlocksConfig) -> list[str]:
    problems = []
    if blocks.sequence_length < 8:
        problems.append(f"blocks.sequence_length={blocks.sequence_length}: must be at least 8")
    problems += _rows_problems(blocks)
    if blocks.curriculum < 1:
        problems.append(f"blocks.curriculum={blocks.curriculum}: at least 1, which reads all blocks shuffled")
    if not 0 < blocks.held_out_share < 1:
        problems.append(
            f"blocks.held_out_share={blocks.held_out_share}: a share between 0 and 1, such as 0.01"
        )
    if blocks.workers is not None and blocks.workers < 1:
        problems.append(f"blocks.workers={blocks.workers}: must be at least 1; null: one for each core")
    if blocks.tokens_per_character is not None and not 0 < blocks.tokens_per_character <= 1:
        problems.append(
            f"blocks.tokens_per_character={blocks.tokens_per_character}: above 0 and up to 1, such as 0.3; null: off"
        )
    return problems


def _rows_problems(blocks: BlocksConfig) -> list[str]:
    length, rows = blocks.sequence_length, blocks.lengths
    found = []
    if blocks.documents not in DOCUMENTS:
        found.append(f"blocks.documents={blocks.documents}: must be one of {', '.join(DOCUMENTS)}")
    grows = rows == sorted(set(rows)) and all(row >= 8 and length % row == 0 for row in rows)
    if rows and not (grows and rows[-1] == length and len(rows) <= MOST_LENGTHS):
        found.append(
            f"blocks.lengths=[{','.join(map(str, rows))}]: up to {MOST_LENGTHS} growing lengths, each of which divides "
            f"blocks.sequence_length={length}, and that last, such as [{length // 4},{length // 2},{length}]"
        )
    return found


def _online_problems(config: PrepareConfig) -> list[str]:
    """Steps that compare documents cannot go on in the middle of a corpus without all that they have seen."""
    nodes = [
        *config.cleaning,
        *(n for part in config.data.get("sources", ()) for n in part.get("cleaning", ())),
    ]
    names = ", ".join(dict.fromkeys(compares(nodes)))
    found = (
        [f"data.online=true: {names} must have seen all documents before; leave it out, or prepare blocks"]
        if names
        else []
    )
    if config.blocks.curriculum > 1:
        found.append(
            f"blocks.curriculum={config.blocks.curriculum}: of blocks on disk, and data.online=true has none; "
            "leave one of them out"
        )
    return found
