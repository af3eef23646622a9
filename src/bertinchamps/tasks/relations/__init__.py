"""Relations between the entities of a document."""
