"""Turn result files into one HTML page, a Markdown table and a CSV table. No JAX here.

`python -m lra_fnet.report` (make report) reads what runs have left; docs/results.md
has its keys.


    sources.py, schema.py   finds the files and holds them to their schemas
    cells.py                pools the seeds of a protocol
    boards.py, arrange.py   say what may stand beside what, and what not
    verdicts.py             what is better by more than noise; averages over tasks
    speeds.py, bubbles.py   speed and memory; accuracy against speed
    learning.py, parts.py   curves; accuracy by features of the examples
    repeat.py               commands, versions, devices
    places.py, words.py     the same as texts in tables, and as sentences
    grids.py                what tables and figures are made of
    figures.py, svg.py      figures, and how they enter the page
    view.py, contents.py    all of a board, and all there is
    page.py, tables.py      index.html; table.md and table.csv
"""
