"""The parts of the ListOps task."""
