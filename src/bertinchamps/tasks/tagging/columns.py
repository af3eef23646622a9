"""Documents with entities as sentences with IOB2 tags, for CoNLL files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bertinchamps.contract import AnnotatedText
from bertinchamps.spans import EntitiesByOffset, flat_entities
from bertinchamps.tasks.formats import conll
from bertinchamps.tasks.tagging.representations import word_tags
from bertinchamps.tasks.tagging.sentences import sentences
from bertinchamps.tasks.tagging.windows import words_of


def tagged(documents: Iterable[AnnotatedText]) -> Iterator[conll.TaggedText]:
    """Sentences with IOB2 tags; of nested entities the longest is kept, because a word has one tag.

    A document with `words` is one sentence of these words.
    """
    for document in documents:
        flat = EntitiesByOffset(flat_entities(document))
        if document.words is not None:
            yield conll.TaggedText(document.text, document.words, word_tags(document.words, flat))
            continue
        for start, end in sentences(document.text):
            words = words_of(document.text, start, end)
            if words:
                yield conll.TaggedText(document.text, words, word_tags(words, flat))
