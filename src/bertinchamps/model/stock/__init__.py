"""Twins in stock transformers classes: same weights under other names, same logits.

A config is either exactly representable or refused: `requirements.stock_problems` lists every field in the way.
A further stock class is one file here, and its row in `requirements.py`. This file imports none of them: stock classes
take seconds, and most runs need the requirements alone.
"""
