"""Whole texts, or pairs of texts, and what is predicted of them."""
