"""Twins in stock transformers classes: same weights under other names, same logits.

A config is either exactly representable or refused: `stock_problems` lists every field in the way.
A further stock class is one file here, and its row in `requirements.py`.
"""

from bertinchamps.model.stock.bert import bert_config, from_bert, to_bert
from bertinchamps.model.stock.modernbert import from_modernbert, modernbert_config, to_modernbert
from bertinchamps.model.stock.requirements import stock_problems

__all__ = [
    "bert_config",
    "from_bert",
    "from_modernbert",
    "modernbert_config",
    "stock_problems",
    "to_bert",
    "to_modernbert",
]
