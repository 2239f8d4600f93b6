"""The Long Range Arena: one trainer for every token mixer; its home model is FNet."""
