"""Files of text: compressed or not, as lines, JSON or tables, and in archives. Sources and formats read with it."""
