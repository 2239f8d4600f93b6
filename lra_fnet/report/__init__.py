"""From result files to one HTML page, Markdown and CSV tables. No JAX here.

`python -m lra_fnet report` reads what runs have left; docs/results.md has the fields.

    load.py        files to one data frame of runs; speed measurements; failures
    statistics.py  intervals, paired tests, corrections for many tests
    accuracy.py    seeds pooled, what is comparable, ranks, averages over tasks
    speed.py       speed and memory against length
    learning.py    learning curves, times to learn, accuracy by features
    published.py   numbers of others, from published.toml
    sentences.py   numbers as text, and findings in words
    tables.py      the same as tables of texts
    figures.py     drawing
    page.py        index.html, table.md, table.csv, results.csv
"""
