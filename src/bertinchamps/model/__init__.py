"""The encoder: a configuration, its parts by name, the masked-LM model, and its twins in stock classes.

`architecture.py` checks and reads a `configs/arch/` node; `huggingface.py` holds the encoder, `heads/` what reads it.
"""
