"""Texts as windows of words, and entities as what a head says of them."""
