"""File formats of annotated and labelled texts: one file a format, which reads it and writes it."""
