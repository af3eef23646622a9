"""What a tokenizer does to a text before it cuts it: two normalisers for French."""

from __future__ import annotations

from typing import Any

from tokenizers import Regex, normalizers

from bertinchamps.registry import Registry

normalizers_by_name: Registry[Any] = Registry("normalizer", "tokenizer.normalizer")


@normalizers_by_name.register("french")
def french() -> Any:
    """Control characters removed, every space a space, composed (NFC), quotes unified; nothing else.

    Case, accents, œ, µ, °, €, ≥ and β stay as they are: in clinical French they carry meaning.
    """
    return normalizers.Sequence(
        [
            normalizers.BertNormalizer(
                clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False
            ),
            normalizers.NFC(),  # once nothing invisible stands between a letter and its accent
            normalizers.Replace(Regex("[‘’‚‛ʼ‹›]"), "'"),
            normalizers.Replace(Regex("[“”„‟«»]"), '"'),
        ]
    )


@normalizers_by_name.register("paper")
def paper() -> Any:
    """As the authors' code: lower case, accents stripped, then every non-ASCII character deleted."""
    return normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.NFD(),
            normalizers.StripAccents(),
            normalizers.Replace(Regex(r"[^\x00-\x7F]"), ""),
        ]
    )
