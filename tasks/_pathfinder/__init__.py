"""The parts of the Pathfinder tasks."""
