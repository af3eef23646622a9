"""Entity recognition: windows of words, targets of the heads, and entities decoded from logits."""
