"""The parts of the Retrieval task."""
