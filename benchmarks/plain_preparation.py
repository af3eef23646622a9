"""python -m benchmarks.plain_preparation: the plainest code from text to shuffled blocks, as a peer.

All documents in memory; a WordPiece tokenizer trained on all of them with the same normaliser and vocabulary size as
ours; tokens grouped, blocks shuffled and saved as one array. It has no fingerprints, no held-out split that copies do
not cross, no bounded memory and no going on.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer

from bertinchamps.data.normalizers import normalizers_by_name
from bertinchamps.data.tokenizer import SPECIAL_TOKENS

DOCUMENTS_AT_ONCE = 1000


def main() -> None:
    """FILE.jsonl OUTPUT.npy NORMALIZER VOCABULARY SEQUENCE_LENGTH"""
    source, output, normalizer, vocabulary, length = sys.argv[1:]
    with Path(source).open(encoding="utf-8") as stream:
        texts = [json.loads(line)["text"] for line in stream]
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers_by_name.build(normalizer)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = WordPieceTrainer(
        vocab_size=int(vocabulary), special_tokens=list(SPECIAL_TOKENS), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    separator = tokenizer.token_to_id("[SEP]")
    parts = []
    for start in range(0, len(texts), DOCUMENTS_AT_ONCE):
        for encoding in tokenizer.encode_batch_fast(texts[start : start + DOCUMENTS_AT_ONCE]):
            parts.append(np.array([*encoding.ids, separator], dtype=np.uint16))
    flat = np.concatenate(parts)
    blocks = flat[: len(flat) // int(length) * int(length)].reshape(-1, int(length))
    np.save(output, blocks[np.random.default_rng(0).permutation(len(blocks))])
    tokenizer.save(str(Path(output).with_suffix(".json")))


if __name__ == "__main__":
    main()
