"""Downstream tasks. A reader (`readers/`) reads examples; a kind (`kinds/`) makes targets and predictions of them."""
