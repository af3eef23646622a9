"""transformers' Auto classes open the models of this package."""

from __future__ import annotations

from bertinchamps.model.configuration import BertinchampsConfig
from bertinchamps.model.heads.classes import BertinchampsForSequenceClassification
from bertinchamps.model.heads.flat import BertinchampsForTokenClassification
from bertinchamps.model.heads.masked_lm import BertinchampsForMaskedLM
from bertinchamps.model.huggingface import BertinchampsModel


def register() -> None:
    """Register the models with transformers' Auto classes. `bertinchamps/__init__.py` calls it; twice does no harm."""
    from transformers import (
        AutoModel,
        AutoModelForMaskedLM,
        AutoModelForSequenceClassification,
        AutoModelForTokenClassification,
    )

    AutoModel.register(BertinchampsConfig, BertinchampsModel, exist_ok=True)
    AutoModelForMaskedLM.register(BertinchampsConfig, BertinchampsForMaskedLM, exist_ok=True)
    AutoModelForTokenClassification.register(
        BertinchampsConfig, BertinchampsForTokenClassification, exist_ok=True
    )
    AutoModelForSequenceClassification.register(
        BertinchampsConfig, BertinchampsForSequenceClassification, exist_ok=True
    )
