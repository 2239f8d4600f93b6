"""The parts of the Image task."""
