"""Downstream tasks. A reader (`readers/`) gives examples; a kind (`kinds/`) says what is learnt from them."""
