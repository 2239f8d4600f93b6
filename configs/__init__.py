"""One file a task: `get_config(recipe)` returns every setting of a run."""
