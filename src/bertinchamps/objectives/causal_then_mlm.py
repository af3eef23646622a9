"""Next tokens first, masked tokens then: causal language modelling for a share of the budget, and masked for the rest.

Gisserot-Boukhlef et al. (2025), "Should We Still Pretrain Encoders with Masked Language Modeling?": within a
fixed budget, the two phases are better than masked language modelling throughout. In the causal phase each
position reads what stands before it, and predicts the token behind it. So a block has S − 1 targets instead
of some 15 % of S; the last layer and the decoder compute all positions, and the FLOPs of that phase count
them. Model and head are the same in both phases. Held-out scores are those of `mlm` throughout: masked
tokens, read in both directions.

B batch, S sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar, cast

from torch import Tensor, nn

from bertinchamps.contract import Output
from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.objectives import Given, objectives
from bertinchamps.objectives.masking import MASKS, Masking, MaskSettings
from bertinchamps.objectives.mlm import MaskedLanguageModeling
from bertinchamps.objectives.next_tokens import causal_share_problems

T = TypeVar("T")


def _problems(settings: Mapping[str, Any]) -> list[str]:
    share = settings.get("causal_share", 0.25)
    return causal_share_problems(
        share, "budget", "causal phase, and without a masked one there is no encoder"
    )


@objectives.register("causal_then_mlm", check=_problems)
class CausalThenMasked(MaskedLanguageModeling):
    """A causal phase, then `mlm`.

    Args:
        given: by the run.
        masks: what is masked in the second phase, whose progress the stages divide.
        causal_share: of the budget, before the first mask.
    """

    name = "causal_then_mlm"
    continues = False

    def __init__(
        self,
        given: Given,
        masks: MaskSettings = MASKS,
        causal_share: float = 0.25,
    ) -> None:
        super().__init__(given, masks)
        self._share = causal_share
        self._causal = True

    def set_progress(self, progress: float) -> None:
        """Predict next tokens, or mask as the stage at this progress does."""
        self._causal = progress < self._share
        super().set_progress(progress)

    def _progress_of_rates(self, progress: float) -> float:
        return max(0.0, progress - self._share) / (1 - self._share)

    def flops_per_token(self, model: nn.Module) -> Callable[[float], float]:
        """Those of `mlm`, with the last layer and the decoder at all positions in the causal phase."""
        masked = super().flops_per_token(model)
        causal = self._of_stages(partial(self._causal_flops, cast(BertinchampsForMaskedLM, model).config))
        return lambda progress: _now(causal if progress < self._share else masked, progress)

    def matrix_flops(self, model: nn.Module) -> Callable[[float], Mapping[str, float]]:
        """Of these, those of the linear maps."""
        masked = super().matrix_flops(model)
        causal = self._matrix_flops(cast(BertinchampsForMaskedLM, model).config, 1.0)
        return lambda progress: causal if progress < self._share else _now(masked, progress)

    def _causal_flops(self, config: BertinchampsConfig, masking: Masking) -> float:
        return self._flops(config, 1.0, self.tokens_per_position // masking.rows)

    def describe(self, parameters: int, flops_per_token: float) -> Iterator[str]:
        """The model and the phases, a line each; the FLOPs are those of the phase that is trained next."""
        yield from super().describe(parameters, flops_per_token)
        yield f"phases     next tokens up to {self._share:.0%} of the budget, then masked tokens"

    def loss(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Output:
        """The summed loss of the phase for `input_ids` [B, S] at stream `positions` [B]."""
        if not self._causal:
            return super().loss(model, inputs)
        return self._next_tokens(model, inputs["input_ids"])


def _now(value: T | Callable[[float], T], progress: float) -> T:
    return value(progress) if callable(value) else value
