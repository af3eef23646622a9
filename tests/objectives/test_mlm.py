"""Masked language modelling: which tokens are targets, what stands in their place, how they are scored."""

from __future__ import annotations

import itertools
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertinchamps.data.blocks import Blocks
from bertinchamps.data.corpus import Corpus
from bertinchamps.data.tokenizer import TOKENIZER_FILES, Vocabulary
from bertinchamps.errors import UserError
from bertinchamps.model.architecture import build_config
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.positions import at
from bertinchamps.objectives import GIVEN, Given, objectives
from bertinchamps.objectives.masking import IGNORED, Masking, MaskSettings, geometric
from bertinchamps.objectives.mlm import MaskedLanguageModeling
from bertinchamps.schemas import ArchConfig

LENGTH, SIZE, MASK, SEPARATOR = 64, 200, 4, 3
SPECIAL = (0, 1, 2, 3, 4)
PIECES = tuple(range(100, 200))  # ids that continue a word; 5 to 99 start one
VOCABULARY = Vocabulary(SIZE, SPECIAL, MASK, SEPARATOR, PIECES, {"pad_token_id": 0})
CPU = torch.device("cpu")


def masking(rate: float = 0.25, seed: int = 0, whole_word: bool = False, length: int = LENGTH) -> Masking:
    return Masking(VOCABULARY, seed, length, rate, whole_word, CPU)


def text(blocks: int, length: int = LENGTH, subwords: float = 0.4, seed: int = 7) -> Tensor:
    """Blocks [B, S] of words of one subword or more, with a separator here and there."""
    random = np.random.default_rng(seed)
    ids = random.integers(5, 100, (blocks, length))
    continues = random.random((blocks, length)) < subwords
    ids[continues] = random.integers(100, SIZE, continues.sum())
    separators = random.random((blocks, length)) < 0.03
    separators[:, 1:] &= ids[:, 1:] < 100
    ids[separators] = SEPARATOR
    after = np.roll(separators, 1, axis=1) & continues  # a document starts with a word's first subword
    ids[after] = 5
    return torch.from_numpy(ids)


def chosen(masks: Masking, ids: Tensor, positions: Tensor | None = None) -> Tensor:
    """Which tokens [B, S] are targets."""
    positions = torch.arange(len(ids)) if positions is None else positions
    _, places, labels = masks(ids, positions)
    return torch.zeros(ids.shape, dtype=torch.bool).scatter(1, places, labels != IGNORED)


def words(row: Tensor) -> list[list[int]]:
    """Columns of each ordinary word of a block."""
    found: list[list[int]] = []
    inside = False
    for column, token in enumerate(row.tolist()):
        if token in SPECIAL:
            inside = False
        elif inside and token in PIECES:
            found[-1].append(column)
        else:
            found.append([column])
            inside = True
    return found


# ------------------------------------------------------------- a pure function of seed and position


@pytest.mark.parametrize("whole_word", [False, True])
def test_a_block_is_masked_alike_in_any_micro_batch(whole_word: bool) -> None:
    masks, ids, positions = masking(whole_word=whole_word), text(12), torch.arange(100, 112)
    whole, places, labels = masks(ids, positions)
    for size in (1, 5):
        parts = [masks(ids[i : i + size], positions[i : i + size]) for i in range(0, 12, size)]
        assert torch.equal(torch.cat([part[0] for part in parts]), whole)
        assert torch.equal(torch.cat([part[2] for part in parts]), labels)
        assert torch.equal(torch.cat([part[1] for part in parts]), places)


def test_a_block_is_masked_alike_whatever_its_neighbours() -> None:
    masks, one, others = masking(), text(1, seed=1), text(3, seed=2)
    alone, _, _ = masks(one, torch.tensor([42]))
    among, _, _ = masks(torch.cat([others[:2], one, others[2:]]), torch.tensor([7, 1000, 42, 3]))
    assert torch.equal(among[2:3], alone)


def test_a_compiled_step_masks_alike() -> None:
    ids, positions = text(4), torch.arange(4)
    for whole_word in (False, True):
        masks = masking(whole_word=whole_word)
        compiled = torch.compile(masks.__call__, fullgraph=True, dynamic=False, backend="eager")
        for expected, got in zip(masks(ids, positions), compiled(ids, positions), strict=True):
            assert torch.equal(got, expected)


def test_masking_leaves_its_input_alone() -> None:
    ids = text(4)
    before = ids.clone()
    masking()(ids, torch.arange(4))
    assert torch.equal(ids, before)


def test_the_same_block_is_masked_otherwise_in_the_next_epoch() -> None:
    ids = text(1).expand(50, -1)
    targets = chosen(masking(), ids, torch.arange(0, 50 * 1000, 1000))
    assert len({tuple(row.tolist()) for row in targets}) == 50


@pytest.mark.parametrize("other", [1, 2, 3, 2**40, -1])
@pytest.mark.parametrize("moved", [0, 1, 4, 8])
def test_another_seed_is_another_mask_and_not_the_same_one_moved(other: int, moved: int) -> None:
    ids = torch.full((200, LENGTH), 50)
    one, two = chosen(masking(seed=0), ids).flatten(), chosen(masking(seed=other), ids).flatten()
    agree = (one[moved:] & two[: len(two) - moved]).sum() / one.sum()
    assert float(agree) == pytest.approx(0.25, abs=0.03)  # two unrelated masks of a quarter each


def test_what_replaces_a_target_has_nothing_to_do_with_its_neighbour_being_one() -> None:
    ids = torch.full((3000, LENGTH), 50)
    corrupted, _, _ = masking()(ids, torch.arange(3000))
    targets = chosen(masking(), ids)
    for moved in (1, 2):
        both = targets[:, :-moved] & targets[:, moved:]
        share = (corrupted[:, :-moved][both] == MASK).float().mean()
        assert float(share) == pytest.approx(0.8, abs=0.02)


# --------------------------------------------------------------------------------- how many, which


@pytest.mark.parametrize(("rate", "targets"), [(0.15, 10), (0.25, 16), (0.4, 26), (0.001, 1), (0.999, 64)])
@pytest.mark.parametrize("whole_word", [False, True])
def test_every_block_has_the_same_number_of_targets(rate: float, targets: int, whole_word: bool) -> None:
    ids = text(40).masked_fill_(text(40) == SEPARATOR, 50)  # ordinary tokens alone
    masks = masking(rate, whole_word=whole_word)
    assert masks.targets == targets
    assert chosen(masks, ids).sum(1).tolist() == [targets] * 40


def test_labels_are_the_true_tokens_at_the_positions() -> None:
    ids = text(8)
    corrupted, places, labels = masking()(ids, torch.arange(8))
    assert torch.equal(labels, ids.gather(1, places))
    assert all(len(row.unique()) == 16 for row in places)
    untouched = torch.ones(ids.shape, dtype=torch.bool).scatter(1, places, value=False)
    assert torch.equal(corrupted[untouched], ids[untouched])


def test_every_place_is_equally_often_a_target() -> None:
    often = chosen(masking(), torch.full((4000, LENGTH), 50)).float().mean(0)
    assert often.min() > 0.22
    assert often.max() < 0.28


@pytest.mark.parametrize("whole_word", [False, True])
def test_special_tokens_are_never_targets_and_never_changed(whole_word: bool) -> None:
    ids = text(300)
    corrupted, _, _ = masking(0.6, whole_word=whole_word)(ids, torch.arange(300))
    special = ids < 5
    assert special.any()
    assert not chosen(masking(0.6, whole_word=whole_word), ids)[special].any()
    assert torch.equal(corrupted[special], ids[special])


def test_targets_become_masks_random_tokens_or_stay_80_10_10() -> None:
    ids = torch.full((4000, LENGTH), 50)
    corrupted, places, _ = masking()(ids, torch.arange(4000))
    there = corrupted.gather(1, places)
    assert float((there == MASK).float().mean()) == pytest.approx(0.8, abs=0.01)
    kept = 0.1 + 0.1 / (SIZE - len(SPECIAL))  # a random token is now and then the true one
    assert float((there == 50).float().mean()) == pytest.approx(kept, abs=0.01)


def test_random_tokens_are_all_ordinary_ones_and_nothing_else() -> None:
    """Neither special tokens, nor rows by which a model pads its vocabulary beyond the tokenizer's."""
    ids = torch.full((4000, LENGTH), 50)
    corrupted, places, _ = masking()(ids, torch.arange(4000))
    there = corrupted.gather(1, places)
    counts = torch.bincount(there[there != MASK], minlength=SIZE)
    assert len(counts) == SIZE
    assert not counts[list(SPECIAL)].any()
    drawn = counts[5:].float().index_fill_(0, torch.tensor([45]), float(counts[5:].float().median()))
    assert drawn.min() > 0
    assert drawn.max() < 2 * drawn.mean()


@pytest.mark.parametrize("whole_word", [False, True])
def test_a_block_of_few_ordinary_tokens_ignores_the_targets_it_lacks(whole_word: bool) -> None:
    ids = torch.full((2, LENGTH), SEPARATOR)
    ids[0, [3, 20, 21]] = torch.tensor([50, 60, 150])
    corrupted, places, labels = masking(whole_word=whole_word)(ids, torch.arange(2))
    assert sorted(labels[0][labels[0] != IGNORED].tolist()) == [50, 60, 150]
    assert (labels[1] == IGNORED).all()
    assert torch.equal(corrupted[1], ids[1])
    assert places.shape == labels.shape == (2, 16)  # as in any other batch
    assert all(len(row.unique()) == 16 for row in places)


def test_where_keys_are_equal_the_first_columns_are_taken() -> None:
    """Devices order equal keys in ways of their own."""
    ids = torch.full((3, LENGTH), SEPARATOR)
    ids[1, 40:] = 50
    ids[2, [1, 2]] = 50
    _, places, labels = masking()(ids, torch.arange(3))
    assert places[0].tolist() == list(range(16))
    assert places[1].min() >= 40
    assert places[2].tolist() == [0, 1, 2, *range(3, 16)]
    assert labels[2].tolist() == [IGNORED, 50, 50, *[IGNORED] * 13]


# ------------------------------------------------------------------------------------- whole words


@pytest.mark.parametrize("rate", [0.15, 0.25, 0.4])
def test_whole_word_masking_takes_all_pieces_of_a_word_or_none(rate: float) -> None:
    ids = text(300)
    masks = masking(rate, whole_word=True)
    broken = 0
    for row, targets in zip(ids, chosen(masks, ids), strict=True):
        for word in words(row):
            taken = targets[word].sum()
            if 0 < taken < len(word):
                broken += 1
                assert all(targets[other].all() for other in words(row) if len(other) == 1)
    assert broken == 0  # such text has one-subword words enough


def test_whole_word_masking_breaks_words_only_once_single_pieces_are_used_up() -> None:
    ids = text(300, subwords=0.85)
    blocks_with_broken = 0
    for row, targets in zip(ids, chosen(masking(whole_word=True), ids), strict=True):
        found = words(row)
        broken = [word for word in found if 0 < targets[word].sum() < len(word)]
        blocks_with_broken += bool(broken)
        if broken:
            assert all(targets[word].all() for word in found if len(word) == 1)
    assert blocks_with_broken  # the rule was put to the test
    assert chosen(masking(whole_word=True), ids).sum(1).tolist() == [16] * 300


def test_of_a_word_that_must_be_broken_the_first_pieces_are_taken() -> None:
    ids = text(300, subwords=0.85)
    broken = 0
    for row, targets in zip(ids, chosen(masking(whole_word=True), ids), strict=True):
        for word in words(row):
            taken = targets[word].tolist()
            broken += 0 < sum(taken) < len(taken)
            assert taken == sorted(taken, reverse=True)
    assert broken > 50


def test_whole_word_masking_does_take_long_words() -> None:
    ids = text(300)
    targets = chosen(masking(whole_word=True), ids)
    long = [(row, word) for row in range(300) for word in words(ids[row]) if len(word) == 3]
    share = np.mean([bool(targets[row, word].all()) for row, word in long])
    assert 0.15 < share < 0.3  # about as likely as any token


def test_a_word_cut_by_the_start_of_a_block_is_a_word() -> None:
    ids = torch.full((500, 8), 50)
    ids[:, :3] = 150  # three subwords whose beginning is in the block before
    targets = chosen(masking(0.5, whole_word=True, length=8), ids)
    assert set(targets[:, :3].sum(1).tolist()) == {0, 3}


# ------------------------------------------------------------------------------------------- spans

SPANS = geometric(3.8, 10)


def spans_of(masks: Masking, ids: Tensor, positions: Tensor) -> list[list[list[int]]]:
    """Columns of the spans into which blocks are cut, those of special tokens left out."""
    columns = torch.arange(ids.shape[1]).expand_as(ids)
    ordinary = ids >= 5
    firsts = masks._starts_of_words(ids, ordinary) if masks._whole_word else columns
    assert masks._longer is not None
    starts = masks._starts_of_spans(
        firsts, positions[:, None] * ids.shape[1] + columns, ordinary, masks._longer
    )
    return [
        [
            list(group)
            for first, group in itertools.groupby(range(len(row)), key=lambda c: int(row[c]))
            if ids[b, first] >= 5
        ]
        for b, row in enumerate(starts)
    ]


def test_the_lengths_are_those_of_spanbert() -> None:
    weights = 0.2 * 0.8 ** np.arange(10)
    assert pytest.approx(weights / weights.sum(), abs=2e-3) == SPANS
    for mean, limit in ((1.01, 2), (2.0, 4), (5.4, 10)):
        assert geometric(mean, limit) @ np.arange(1, limit + 1) == pytest.approx(mean)


def test_lengths_of_spans_are_distributed_as_said_and_masked_alike() -> None:
    ids, positions = torch.full((2000, LENGTH), 50), torch.arange(2000)
    masks = Masking(VOCABULARY, 0, LENGTH, 0.15, False, CPU, SPANS)
    cut = spans_of(masks, ids, positions)
    lengths = np.array([len(span) for row in cut for span in row[:8]])  # none of these is cut by the end
    shares = np.bincount(lengths, minlength=11)[1:] / len(lengths)
    assert np.abs(shares - SPANS).max() < 0.01
    targets = chosen(masks, ids)
    assert targets.sum(1).tolist() == [10] * 2000
    whole = [
        len(span) for row, spans in zip(targets, cut, strict=True) for span in spans[:8] if row[span].all()
    ]
    assert 3.0 < np.mean(whole) < 3.8  # long spans are more often the one that is cut to fit
    broken = [
        [0 < row[span].sum() < len(span) for span in spans] for row, spans in zip(targets, cut, strict=True)
    ]
    assert max(map(sum, broken)) == 1
    begun = [row[span].tolist() for row, spans in zip(targets, cut, strict=True) for span in spans]
    assert all(taken == sorted(taken, reverse=True) for taken in begun)  # of a broken span, the first part


def test_a_span_becomes_masks_or_random_tokens_or_stays_as_a_whole() -> None:
    ids, positions = torch.full((2000, LENGTH), 50), torch.arange(2000)
    masks = Masking(VOCABULARY, 0, LENGTH, 0.15, False, CPU, SPANS)
    corrupted, _, _ = masks(ids, positions)
    targets, kinds = chosen(masks, ids), []
    for b, spans in enumerate(spans_of(masks, ids, positions)):
        for span in spans:
            if targets[b, span].sum() > 1:
                kept = corrupted[b, span][targets[b, span]]
                share = float((kept == MASK).float().mean())
                assert share in (0.0, 1.0)
                kinds.append(share)
    assert np.mean(kinds) == pytest.approx(0.8, abs=0.02)


def test_spans_of_words_break_no_word_and_end_with_the_document() -> None:
    ids, positions = text(300), torch.arange(300)
    masks = Masking(VOCABULARY, 0, LENGTH, 0.25, True, CPU, SPANS)
    targets = chosen(masks, ids)
    assert ((targets.sum(1) == 16) | ((ids >= 5).sum(1) < 16)).all()
    for b, spans in enumerate(spans_of(masks, ids, positions)):
        of_words = words(ids[b])
        assert all(targets[b, word].all() or not targets[b, word].any() for word in of_words)
        starts = {word[0] for word in of_words}
        assert all(span[0] in starts and (ids[b, span] >= 5).all() for span in spans)
    neighbours = (targets[:, 1:] & targets[:, :-1]).sum() / targets.sum()
    alone = chosen(masking(whole_word=True), ids)
    assert neighbours > (alone[:, 1:] & alone[:, :-1]).sum() / alone.sum() + 0.15


@pytest.mark.parametrize("whole_word", [False, True])
def test_spans_are_a_pure_function_of_seed_and_position_and_compile(whole_word: bool) -> None:
    masks, ids, positions = (
        Masking(VOCABULARY, 0, LENGTH, 0.25, whole_word, CPU, SPANS),
        text(12),
        torch.arange(100, 112),
    )
    whole = masks(ids, positions)
    parts = [masks(ids[i : i + 5], positions[i : i + 5]) for i in range(0, 12, 5)]
    compiled = torch.compile(masks.__call__, fullgraph=True, dynamic=False, backend="eager")(ids, positions)
    for number in range(3):
        assert torch.equal(torch.cat([part[number] for part in parts]), whole[number])
        assert torch.equal(compiled[number], whole[number])
    moved = masks(ids, positions + 1)
    assert not torch.equal(moved[1], whole[1])


def test_every_place_is_equally_often_in_a_span() -> None:
    masks = Masking(VOCABULARY, 0, LENGTH, 0.25, False, CPU, SPANS)
    often = chosen(masks, torch.full((4000, LENGTH), 50)).float().mean(0)
    assert often.min() > 0.2
    assert often.max() < 0.3


def test_mistakes_in_spans_are_reported() -> None:
    assert objectives.problems("mlm", {"span": True, "span_limit": 1}, GIVEN) == [
        "objective.span_limit=1: a whole number from 2 to 64"
    ]
    for mean in (1.0, 5.5):
        (problem,) = objectives.problems("mlm", {"span": True, "span_mean": mean}, GIVEN)
        assert problem.startswith(
            f"objective.span_mean={mean}: above 1, where spans are single tokens, and below 5.5"
        )


# ------------------------------------------------------------------------------------ loss and score


class TinyModel(nn.Module):
    """Logits of a token from itself and its left neighbour; no dropout, so that it can be recomputed."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.decode = nn.Embedding(SIZE, 16), nn.Linear(16, SIZE)
        self.asked: list[Tensor] = []

    def full_logits(self, ids: Tensor) -> Tensor:
        """[B, S, V]."""
        hidden = self.embed(ids)
        return self.decode(hidden + hidden.roll(1, dims=1))  # type: ignore[no-any-return]

    def masked_logits(self, input_ids: Tensor, masked_positions: Tensor) -> Tensor:
        """As the project's models do: [B, K, V]."""
        self.asked.append(masked_positions)
        return at(self.full_logits(input_ids), masked_positions)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """90 training blocks and 70 held-out ones."""
    splits = {}
    for name, count, seed in (("train", 90, 1), ("held_out", 70, 2)):
        file = tmp_path / f"{name}.bin"
        text(count, seed=seed).numpy().astype(np.uint16).tofile(file)
        splits[name] = Blocks(file, LENGTH)
    return Corpus(tmp_path, tmp_path, "f", splits["train"], splits["held_out"], VOCABULARY, {})


def objective(corpus: Corpus, seed: int = 0, blocks: int = 70, **settings: Any) -> MaskedLanguageModeling:
    return MaskedLanguageModeling(Given(corpus, seed, blocks, CPU), masks=MaskSettings(**settings))


def test_the_loss_is_the_summed_cross_entropy_of_the_true_tokens(corpus: Corpus) -> None:
    task, model = objective(corpus, mask_rate=0.25), TinyModel()
    batch = next(task.batches(cursor=85, micro_batch=16))
    corrupted, places, labels = masking()(batch.inputs["input_ids"], batch.inputs["positions"])
    log_probabilities = at(model.full_logits(corrupted).log_softmax(-1), places).detach()
    plain = -float(log_probabilities.gather(-1, labels[:, :, None]).sum())
    assert float(task.loss(model, batch.inputs).loss_sum.detach()) == pytest.approx(plain, rel=1e-5)
    assert batch.targets == places.numel() == 16 * 16
    assert task.predicted_fraction == 16 / 64


def test_ignored_targets_add_nothing_to_the_loss(corpus: Corpus) -> None:
    task, model = objective(corpus, mask_rate=0.25), TinyModel()
    separators = torch.full((2, LENGTH), SEPARATOR)
    inputs = {"input_ids": separators, "positions": torch.arange(2)}
    assert float(task.loss(model, inputs).loss_sum.detach()) == 0.0


def test_the_loss_of_an_update_does_not_depend_on_the_micro_batch(corpus: Corpus) -> None:
    task, model = objective(corpus), TinyModel()

    def update_loss(micro_batch: int) -> float:
        batches = itertools.islice(task.batches(0, micro_batch), 96 // micro_batch)
        return sum(float(task.loss(model, batch.inputs).loss_sum.detach()) for batch in batches)

    assert update_loss(8) == pytest.approx(update_loss(32), rel=1e-5)


def test_an_epoch_is_one_pass_over_the_training_blocks(corpus: Corpus) -> None:
    task = objective(corpus)
    assert task.epoch_length() == 90
    batch = next(task.batches(0, 90))
    rows = {tuple(row) for row in batch.inputs["input_ids"].tolist()}
    assert rows == {tuple(row) for row in corpus.train.read(np.arange(90)).tolist()}


def test_held_out_scores_are_plain_averages_over_the_targets(corpus: Corpus) -> None:
    model = TinyModel()
    scores = objective(corpus).evaluate(model)
    truth = torch.from_numpy(corpus.held_out.read(np.arange(70)).astype(np.int64))
    held_out = Masking(VOCABULARY, 1915, LENGTH, 0.15, whole_word=False, device=CPU)
    corrupted, places, labels = held_out(truth, torch.arange(70))
    assert torch.equal(torch.cat(model.asked), places)
    logits = at(model.full_logits(corrupted), places)
    loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten()).detach()
    assert scores["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert scores["accuracy"] == pytest.approx(float((logits.argmax(-1) == labels).float().mean()))
    assert set(scores) == {"loss", "accuracy"}


def test_bits_per_character_are_those_of_the_text_and_only_where_characters_were_counted(
    corpus: Corpus,
) -> None:
    counts = {"held_out": {"documents": 20, "tokens": 70 * LENGTH}, "held_out_characters": 17_000}
    task, model = objective(replace(corpus, manifest=counts)), TinyModel()
    scores = task.evaluate(model)
    expected = scores["loss"] / np.log(2) * (70 * LENGTH - 20) / 17_000
    assert scores["bits_per_character"] == pytest.approx(expected, rel=1e-6)
    assert task.scores_line(scores).endswith(f"masked tokens, {expected:.4f} bits per character")
    earlier = objective(replace(corpus, manifest={**counts, "held_out_characters": None}))
    assert earlier.evaluate(model) == {name: scores[name] for name in ("loss", "accuracy")}
    assert "bits" not in earlier.scores_line(earlier.evaluate(model))


def test_held_out_scores_are_at_15_percent_whatever_is_trained(corpus: Corpus) -> None:
    model = TinyModel()
    scores = [
        objective(corpus, seed=0, mask_rate=0.15).evaluate(model),
        objective(corpus, seed=5, mask_rate=0.4).evaluate(model),
        objective(corpus, seed=9, mask_rate=0.25, whole_word=True).evaluate(model),
    ]
    assert scores[0] == scores[1] == scores[2]
    assert model.asked[0].shape == (64, 10)  # 15 % of 64, in each of the first 64 blocks


def test_whole_words_of_a_tokenizer_that_does_not_mark_them_are_refused(corpus: Corpus) -> None:
    unmarked = replace(corpus, vocabulary=replace(VOCABULARY, continuations=()))
    with pytest.raises(UserError, match="does not mark subwords that continue a word") as caught:
        objective(unmarked, whole_word=True)
    assert "objective.whole_word=false" in str(caught.value)
    assert objective(unmarked).predicted_fraction > 0


def test_no_more_held_out_blocks_are_scored_than_asked_for(corpus: Corpus) -> None:
    model = TinyModel()
    objective(corpus, blocks=3).evaluate(model)
    assert [places.shape for places in model.asked] == [(3, 10)]


def test_scores_are_the_same_on_a_card_without_memory_for_all_blocks_at_once(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, task = TinyModel(), objective(corpus, blocks=8)
    whole, scored = task.evaluate(model), task._scored

    def short(model: nn.Module, masked: Tensor, *more: Tensor) -> dict[str, Tensor]:
        if len(masked) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return scored(model, masked, *more)

    monkeypatch.setattr(task, "_scored", short)
    assert task.evaluate(model) == pytest.approx(whole, rel=1e-6)
    assert sorted(map(len, model.asked[1:])) == [2, 2, 2, 2]


# ------------------------------------------------------------------------------------- the settings


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, float("nan"), "much", None])
def test_a_mask_rate_that_is_no_share_is_a_problem(rate: object) -> None:
    (problem,) = objectives.problems("mlm", {"mask_rate": rate}, GIVEN)
    number = isinstance(rate, int | float)
    assert problem == f"objective.mask_rate={rate}: " + (
        "a share between 0 and 1, such as 0.15" if number else "must be a number"
    )


@pytest.mark.parametrize("value", ["no", 1, None])
def test_whole_word_is_true_or_false(value: object) -> None:
    (problem,) = objectives.problems("mlm", {"whole_word": value}, GIVEN)
    assert problem == f"objective.whole_word={value}: must be true or false"  # Hydra reads `no` as a text


def test_a_misspelt_setting_is_a_problem() -> None:
    (problem,) = objectives.problems("mlm", {"mask_rat": 0.15}, GIVEN)
    assert problem.startswith("objective.mask_rat: mlm takes no such setting; did you mean 'mask_rate'?")


def test_good_settings_are_no_problem() -> None:
    assert objectives.problems("mlm", {}, GIVEN) == []
    assert objectives.problems("mlm", {"mask_rate": 0.4, "whole_word": True}, GIVEN) == []


# ------------------------------------------------------------- a mask rate that changes


def test_the_mask_rate_falls_in_stages_of_equal_progress(corpus: Corpus) -> None:
    task = objective(corpus, mask_rate=0.5, final_mask_rate=0.125, mask_stages=4)
    ids, positions = text(3), torch.arange(3)
    rates = []
    for progress in (0.0, 0.2, 0.3, 0.6, 0.99, 1.0):
        task.set_progress(progress)
        _, places, _ = task._masking(ids, positions)
        rates.append(places.shape[1] / LENGTH)
    assert rates == [0.5, 0.5, 0.375, 0.25, 0.125, 0.125]


def test_the_loss_counts_as_many_targets_in_every_stage(corpus: Corpus) -> None:
    class Even(nn.Module):
        def masked_logits(self, input_ids: Tensor, masked_positions: Tensor) -> Tensor:
            return torch.zeros(*masked_positions.shape, SIZE)

    task = objective(corpus, mask_rate=0.5, final_mask_rate=0.125, mask_stages=2)
    batch = next(task.batches(0, 4))
    for progress in (0.0, 0.9):
        task.set_progress(progress)
        loss = task.loss(Even(), batch.inputs).loss_sum / batch.targets
        assert float(loss) == pytest.approx(np.log(SIZE), rel=0.02)  # a few blocks lack ordinary tokens


def test_flops_follow_the_mask_rate(corpus: Corpus) -> None:
    config = build_config(asdict(ArchConfig(hidden_size=16, num_attention_heads=2)), SIZE)
    with torch.device("meta"):
        model = BertinchampsForMaskedLM(config)
    whole = objective(corpus, mask_rate=0.5).flops_per_token(model)
    falling = objective(corpus, mask_rate=0.5, final_mask_rate=0.125, mask_stages=2).flops_per_token(model)
    assert callable(falling)
    assert falling(0.0) == whole
    assert falling(1.0) == objective(corpus, mask_rate=0.125).flops_per_token(model) < falling(0.4)


# ------------------------------------------------------------- rows that grow, documents apart


def test_rows_grow_over_progress_and_an_update_keeps_its_tokens(corpus: Corpus) -> None:
    task = objective(replace(corpus, row_lengths=(16, 32, LENGTH)), mask_rate=0.25)
    ids, positions = text(3), torch.tensor([7, 8, 30])
    for progress, length in ((0.0, 16), (0.33, 16), (0.34, 32), (0.7, 64), (1.0, 64)):
        task.set_progress(progress)
        masked, places, labels = task._masking(ids, positions)
        assert masked.shape == (3 * LENGTH // length, length)
        assert places.shape == labels.shape == (len(masked), length // 4)
        restored = masked.scatter(1, places, torch.where(labels == IGNORED, masked.gather(1, places), labels))
        assert torch.equal(restored.view(3, LENGTH), ids)
    whole = objective(corpus, mask_rate=0.25)._masking(ids, positions)
    assert all(map(torch.equal, whole, (masked, places, labels)))  # type: ignore[arg-type]


def test_rows_are_masked_as_blocks_of_their_length_are(corpus: Corpus) -> None:
    task = objective(replace(corpus, row_lengths=(16, LENGTH)), mask_rate=0.25)
    ids = text(2)
    found = task._masking(ids, torch.tensor([5, 6]))
    alone = masking(length=16)(ids.view(8, 16), torch.arange(20, 28))
    assert all(map(torch.equal, found, alone))


def test_flops_follow_the_rows(corpus: Corpus) -> None:
    config = build_config(asdict(ArchConfig(hidden_size=16, num_attention_heads=2)), SIZE)
    with torch.device("meta"):
        model = BertinchampsForMaskedLM(config)
    task = objective(replace(corpus, row_lengths=(16, LENGTH)), mask_rate=0.25)
    growing = task.flops_per_token(model)
    assert callable(growing)
    assert growing(1.0) == objective(corpus, mask_rate=0.25).flops_per_token(model)
    layers = (
        config.num_hidden_layers - 1 + task.predicted_fraction
    )  # the last one reads masked positions alone
    assert growing(1.0) - growing(0.2) == pytest.approx(3 * 4 * (LENGTH - 16) * 16 * layers)


def test_documents_of_a_block_are_kept_apart_where_that_is_asked_for(corpus: Corpus) -> None:
    for name in TOKENIZER_FILES:
        (corpus.folder / name).touch()
    arch = asdict(
        ArchConfig(hidden_size=16, num_attention_heads=2, num_hidden_layers=2, intermediate_size=32)
    )
    task = MaskedLanguageModeling(Given(replace(corpus, documents_apart=True), 0, 70, CPU, arch))
    model = task.build_model(None).eval()
    assert isinstance(model, BertinchampsForMaskedLM)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10)
    ids = text(2)
    ids[:, 20] = SEPARATOR
    ends = (ids == SEPARATOR).long()
    apart, packed = (
        model(ids).logits,
        MaskedLanguageModeling(Given(corpus, 0, 70, CPU, arch)).build_model(None).eval(),
    )
    packed.load_state_dict(model.state_dict())
    torch.testing.assert_close(apart, packed(ids, document_ids=ends.cumsum(1) - ends).logits)
    assert not torch.allclose(apart, packed(ids).logits, atol=1e-5)


def test_mistakes_in_a_changing_mask_rate_are_reported() -> None:
    assert objectives.problems(
        "mlm", {"mask_rate": 0.3, "final_mask_rate": 1.5, "mask_stages": 9}, given=GIVEN
    ) == [
        "objective.final_mask_rate=1.5: a share between 0 and 1, such as 0.15",
        "objective.mask_stages=9: a whole number from 2 to 6",
    ]
