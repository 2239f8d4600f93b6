"""Generator of Pathfinder images, and the checks of their labels."""
