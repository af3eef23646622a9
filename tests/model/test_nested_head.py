"""What stands for a word in the nested head, in new models and in those of earlier versions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertinchamps.errors import UserError
from bertinchamps.model.encoders import EncoderSource
from bertinchamps.model.heads import WordSubwords
from bertinchamps.model.heads.nested import HEAD_FILE, MARK, NestedTagger, first_subword, mean_of_subwords
from tiny_encoders import make_encoder

# words of one, three and two subwords after a special token, and a place beyond the last word
WORDS = WordSubwords(torch.tensor([[1, 2, 5, 0]]), torch.tensor([[1, 4, 6, 0]]))
IDS = {"input_ids": torch.tensor([[2, 65, 88, 99, 39, 63, 50, 3]])}


def test_a_word_is_the_mean_of_its_subwords() -> None:
    hidden = torch.randn(1, 8, 5)
    expected = [hidden[0, 1], hidden[0, 2:5].mean(0), hidden[0, 5:7].mean(0), hidden[0, 0]]
    torch.testing.assert_close(mean_of_subwords(hidden, WORDS)[0], torch.stack(expected))
    half = mean_of_subwords(hidden.bfloat16(), WORDS)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float()[0], torch.stack(expected), atol=0.05, rtol=0.05)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[NestedTagger, Path]:
    torch.manual_seed(0)
    model = NestedTagger(EncoderSource(str(make_encoder("bert", tmp_path / "encoder"))), ["A", "B"]).eval()
    folder = tmp_path / "model"
    folder.mkdir()
    model.save(folder)
    return model, folder


def opened(folder: Path) -> NestedTagger:
    return NestedTagger(EncoderSource(str(folder), with_head=True), ["A", "B"]).eval()


def test_a_saved_model_reads_words_as_it_did(saved: tuple[NestedTagger, Path]) -> None:
    model, folder = saved
    assert torch.equal(opened(folder)(IDS, WORDS), model(IDS, WORDS))


def test_a_model_of_an_earlier_version_reads_first_subwords(saved: tuple[NestedTagger, Path]) -> None:
    model, folder = saved
    save_file(load_file(folder / HEAD_FILE), folder / HEAD_FILE)  # as it was, without a mark
    earlier = opened(folder)
    hidden = model.model(**IDS).last_hidden_state
    assert torch.equal(earlier(IDS, WORDS), model.head(first_subword(hidden, WORDS)))
    assert not torch.equal(earlier(IDS, WORDS), model(IDS, WORDS))
    earlier.save(folder)
    assert torch.equal(opened(folder)(IDS, WORDS), earlier(IDS, WORDS))


def test_a_model_of_a_later_version_is_refused(saved: tuple[NestedTagger, Path]) -> None:
    _, folder = saved
    save_file(load_file(folder / HEAD_FILE), folder / HEAD_FILE, {MARK: "last"})
    with pytest.raises(UserError, match="word_vectors 'last' is of a later version of bertinchamps; update"):
        opened(folder)
