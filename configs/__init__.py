"""One file a task: `get_config(recipe)` returns every knob of a run."""
