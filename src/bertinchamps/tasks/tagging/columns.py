"""Documents with entities as sentences with IOB2 tags, as files in columns have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bertinchamps.contract import AnnotatedText
from bertinchamps.spans import EntitiesByOffset, flat_entities
from bertinchamps.tasks.formats import conll
from bertinchamps.tasks.tagging.representations import word_tags
from bertinchamps.tasks.tagging.sentences import sentences
from bertinchamps.tasks.tagging.windows import words_of


def tagged(documents: Iterable[AnnotatedText]) -> Iterator[conll.TaggedText]:
    """Sentences with IOB2 tags; of entities inside one another the longest is kept, as columns hold one tag.

    Sentences and words are those of the file that the document is from, where it said them.
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
