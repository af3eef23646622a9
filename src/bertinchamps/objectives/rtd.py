"""Detection of replaced tokens (ELECTRA, Clark et al., 2020; DeBERTaV3, He et al., 2021).

A small generator learns masked tokens. At each masked position a token is drawn from what the generator says, and the
encoder learns of every token of the text whether it is the true one:

    loss = mean over targets of the generator's cross-entropy
           + weight · mean over all tokens of the binary cross-entropy of "replaced"

A draw that is the true token is not replaced. Draws have no gradient, so the generator learns masked tokens alone. They
are a function of the seed and of the token's place in the stream: the same in any micro-batch and in a resumed run.

The model that is left is the encoder, which `AutoModel` and fine-tuning open; it has no head for masked tokens.

FOLDER/config.json model.safetensors    the encoder with its token embedding, whatever that is a sum of
FOLDER/rtd.safetensors                  generator, both heads and Δ (`model/heads/replaced_tokens.py`): for resuming

B batch, S sequence, K targets a block, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bertinchamps.contract import Output
from bertinchamps.data.corpus import Corpus
from bertinchamps.errors import UserError
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.flops import (
    encoder_forward_flops_per_token,
    forward_flops_per_token,
    matrix_flops_per_token,
)
from bertinchamps.model.heads.masked_lm import load_strictly
from bertinchamps.model.heads.replaced_tokens import (
    DISENTANGLED,
    NONE,
    SHARINGS,
    ReplacedTokenDetector,
    generator_config,
)
from bertinchamps.model.huggingface import BertinchampsModel
from bertinchamps.model.visibility import documents_of
from bertinchamps.objectives import Given, objectives
from bertinchamps.objectives.masking import IGNORED, MASKS, MaskSettings, random_start, random_values
from bertinchamps.objectives.mlm import HELD_OUT_SEED, MaskedLanguageModeling, sums_of
from bertinchamps.objectives.objective import BITS, bits_per_character
from bertinchamps.schemas import PretrainConfig, named
from bertinchamps.training.assembly import Training
from bertinchamps.training.clock import Spent

FILE = "rtd.safetensors"
GENERATOR_BITS = f"generator_{BITS}"
STEPS = 2**23  # of a draw from 0 to 1, all of which float32 tells apart


def _problems(settings: Mapping[str, Any]) -> list[str]:
    found = []
    width, layers = settings.get("generator_width", 0.5), settings.get("generator_layers")
    if not 0 < width <= 1:
        found.append(f"objective.generator_width={width}: a share of arch.hidden_size, above 0 and up to 1")
    if layers is not None and layers < 1:
        found.append(
            f"objective.generator_layers={layers}: at least 1, or null: half of arch.num_hidden_layers"
        )
    if (sharing := settings.get("sharing", DISENTANGLED)) not in SHARINGS:
        found.append(f"objective.sharing={sharing}: must be one of {', '.join(SHARINGS)}")
    if not (weight := settings.get("detection_weight", 50.0)) > 0:
        found.append(f"objective.detection_weight={weight}: must be above 0; objective=mlm detects nothing")
    return found


@objectives.register("rtd", check=_problems)
class ReplacedTokenDetection(MaskedLanguageModeling):
    """A generator that learns masked tokens, and the encoder that detects its tokens.

    Args:
        given: by the run.
        masks: what the generator learns; at these positions tokens are replaced.
        generator_width: share of the encoder's width that the generator has.
        generator_layers: of the generator; None: half of the encoder's.
        sharing: of the token embeddings.
        detection_weight: of the encoder's loss.
    """

    name = "rtd"
    continues = False
    headline = "detection_loss"

    def __init__(
        self,
        given: Given,
        masks: MaskSettings = MASKS,
        generator_width: float = 0.5,
        generator_layers: int | None = None,
        sharing: str = DISENTANGLED,
        detection_weight: float = 50.0,
    ) -> None:
        super().__init__(given, masks)
        self._width, self._layers = generator_width, generator_layers
        self._sharing, self._weight = sharing, detection_weight
        self._draw, self._held_out_draw = (random_start(of, "replaced") for of in (given.seed, HELD_OUT_SEED))

    @classmethod
    def problems_beside(cls, config: PretrainConfig) -> list[str]:
        """Whether the generator has whole heads, and the model grows from none."""
        width, heads = named(config.objective)[1].get("generator_width", 0.5), config.arch.num_attention_heads
        found = []
        if isinstance(width, int | float) and 0 < width <= 1 and not float(width * heads).is_integer():
            fitting = ", ".join(f"{part / heads:.4g}" for part in range(1, heads + 1))
            found.append(
                f"objective.generator_width={width}: of arch.num_attention_heads={heads} no whole number is left; "
                f"give one of {fitting}"
            )
        if config.grow.model is not None:
            found.append(
                f"grow.model={config.grow.model}: only masked language models grow; choose another objective"
            )
        return found

    def new_model(self, config: BertinchampsConfig) -> ReplacedTokenDetector:  # type: ignore[override]
        """Both encoders; the config of the one that is left says that it has no head for masked tokens."""
        config.masked_lm = False
        return ReplacedTokenDetector(config, self._generator(config), self._sharing)

    def load_model(self, folder: Path) -> ReplacedTokenDetector:  # type: ignore[override]
        """The models of a checkpoint, loaded strictly.

        Raises:
            UserError: weights are missing, or are of another generator.
        """
        encoder = load_strictly(BertinchampsModel, folder)
        model = self.new_model(encoder.config)
        try:
            model.fill(encoder, load_file(folder / FILE))
        except (OSError, ValueError) as error:
            raise UserError(f"{folder / FILE}: missing, or not of this generator and encoder") from error
        return model

    def _generator(self, config: BertinchampsConfig) -> BertinchampsConfig:
        return generator_config(config, self._width, self._layers)

    def save(self, model: nn.Module, folder: Path, spent: Callable[[], Spent]) -> None:
        """Write the encoder, as `from_pretrained` opens it, and the rest into a file of its own."""
        both = cast(ReplacedTokenDetector, model)
        with both.whole_encoder() as encoder:
            super().save(encoder, folder, spent)
        save_file(
            {name: part.detach().contiguous() for name, part in both.beside_encoder().items()}, folder / FILE
        )

    def results(self, training: Training) -> dict[str, Any]:
        """The summary; the parameters are those of the encoder, which is left."""
        encoder = cast(ReplacedTokenDetector, training.trainer.model).encoder
        return {**super().results(training), "parameters": sum(part.numel() for part in encoder.parameters())}

    def describe(self, parameters: int, flops_per_token: float) -> Iterator[str]:
        """Both encoders, a line each."""
        yield from super().describe(parameters, flops_per_token)
        yield (
            f"generator  {self._width:.0%} of the width, embeddings: {self._sharing}; parameters and FLOPs above are "
            "those of both, and the encoder is what is left"
        )

    def scores_line(self, scores: Mapping[str, float]) -> str:
        shown = {
            name: f"{value:.4f}" if name.endswith("loss") else f"{value:.1%}"
            for name, value in scores.items()
        }
        bits = f", {scores[GENERATOR_BITS]:.4f} bits per character" if GENERATOR_BITS in scores else ""
        return (
            f"detection loss {shown['detection_loss']} nats, accuracy {shown['detection_accuracy']} of all tokens, "
            f"F1 {shown['detection_f1']} of the {shown['replaced_share']} that are replaced (generator: loss "
            f"{shown['generator_loss']} nats, accuracy {shown['generator_accuracy']} of masked tokens{bits})"
        )

    def _flops(self, config: BertinchampsConfig, predicted_fraction: float, length: int) -> float:
        small, wide = self._generator(config), config.hidden_size
        forward = forward_flops_per_token(small, length, predicted_fraction)
        if self._sharing != NONE and small.hidden_size != wide:  # maps between both widths
            forward += 2 * wide * small.hidden_size
            if config.tie_word_embeddings:
                decoder = wide * small.hidden_size + (wide - small.hidden_size) * config.vocab_size
                forward += 2 * decoder * predicted_fraction
        forward += encoder_forward_flops_per_token(config, length) + 2 * (wide * wide + wide)
        return 3 * forward

    def _matrix_flops(self, config: BertinchampsConfig, predicted_fraction: float) -> Mapping[str, float]:
        small = matrix_flops_per_token(self._generator(config), predicted_fraction)
        return {
            **matrix_flops_per_token(config, 1.0),
            **{f"generator.{name}": flops for name, flops in small.items()},
        }

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        """The summed loss of both for `input_ids` [B, S] at stream `positions` [B]."""
        both = cast(ReplacedTokenDetector, model)
        ids, positions = self._masking.rows_of(inputs["input_ids"], inputs["positions"])
        masked, chosen, labels = self._masking.in_rows(ids, positions)
        logits = both.generator.masked_logits(masked, chosen)
        generated = F.cross_entropy(
            logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )
        corrupted = self._replaced(ids, positions, chosen, labels, logits, self._draw)
        detected = F.binary_cross_entropy_with_logits(
            both.detect(corrupted, self._documents(ids)).float(),
            (corrupted != ids).float(),
            reduction="sum",
        )
        targets_a_token = self._masking.targets / self.tokens_per_position
        return self._output(generated + self._weight * targets_a_token * detected)

    def _documents(self, ids: Tensor) -> Tensor | None:
        """The documents of true ids [B, S], where they are kept apart: a draw may be a separator that ends none."""
        separator = self.corpus.ends_of_documents
        return None if separator is None else documents_of(ids, separator)

    @torch.no_grad()
    def _replaced(
        self, ids: Tensor, positions: Tensor, chosen: Tensor, labels: Tensor, logits: Tensor, start: int
    ) -> Tensor:
        """The ids [B, S] with tokens drawn from logits [B, K, V] at chosen positions [B, K], where there are labels."""
        cells = positions[:, None] * ids.shape[1] + chosen
        drawn = sampled(logits[..., : self.corpus.vocabulary.size], cells, start)
        return ids.scatter(1, chosen, torch.where(labels == IGNORED, ids.gather(1, chosen), drawn))

    def _scores_on(self, model: nn.Module, corpus: Corpus) -> dict[str, float]:
        """Scores at the fixed mask of 15 %, with draws that are the same in every evaluation.

        Detection is scored over all tokens: its loss in nats, its accuracy, and precision, recall and F1 of the tokens
        that are replaced, which a logit above zero finds. The generator has the scores of `mlm`, bits per character
        among them, which say how well the generator alone learns French; the encoder has none.
        """
        both = cast(ReplacedTokenDetector, model)

        def score(ids: Tensor, positions: Tensor) -> dict[str, Tensor]:
            masked, chosen, labels = self._held_out_masking(ids, positions)
            logits = both.generator.masked_logits(masked, chosen)
            corrupted = self._replaced(ids, positions, chosen, labels, logits, self._held_out_draw)
            of_generator = sums_of(logits.flatten(0, 1), labels.flatten())
            detected = both.detect(corrupted, self._documents(ids))
            return {**of_generator, **detection_sums(detected, corrupted != ids)}

        scores = _scores(self._held_out_sums(corpus, score))
        bits = bits_per_character(scores["generator_loss"], corpus)
        return {**scores, **{f"generator_{name}": value for name, value in bits.items()}}


def sampled(logits: Tensor, cells: Tensor, start: int) -> Tensor:
    """Tokens [B, K] drawn from the distributions of logits [B, K, V], each by the number of its cell [B, K].

    The inverse of the cumulative distribution at a pseudo-random place: one number a token, and not one for each entry
    of the vocabulary, as Gumbel noise would need. A GPU may round the sums in another order: then a draw at the border
    between two tokens may be the other one.
    """
    reached = logits.float().softmax(-1).cumsum(-1)
    places = random_values(cells, start).remainder(STEPS).float() / STEPS
    drawn = torch.searchsorted(reached, (places * reached[..., -1])[..., None], right=True).squeeze(-1)
    return drawn.clamp(max=logits.shape[-1] - 1)


def detection_sums(logits: Tensor, replaced: Tensor) -> dict[str, Tensor]:
    """What scores of detection are made of, summed over logits [B, S] for tokens that are replaced [B, S] or not."""
    found = logits > 0
    return {
        "detection_loss": F.binary_cross_entropy_with_logits(
            logits.float(), replaced.float(), reduction="sum"
        ),
        "right": (found == replaced).sum(),
        "found": found.sum(),
        "replaced": replaced.sum(),
        "both": (found & replaced).sum(),
        "tokens": torch.tensor(replaced.numel()),
    }


def _scores(sums: Mapping[str, float]) -> dict[str, float]:
    tokens, targets = sums["tokens"], sums["targets"]
    return {
        "detection_loss": sums["detection_loss"] / tokens,
        "detection_accuracy": sums["right"] / tokens,
        "detection_precision": sums["both"] / max(1.0, sums["found"]),
        "detection_recall": sums["both"] / max(1.0, sums["replaced"]),
        "detection_f1": 2 * sums["both"] / max(1.0, sums["found"] + sums["replaced"]),
        "replaced_share": sums["replaced"] / tokens,
        "generator_loss": sums["loss"] / targets,
        "generator_accuracy": sums["accuracy"] / targets,
    }
