"""Run the cells of a table: which there are, where they stand, what they will cost."""
