"""The parts of the Text task."""
