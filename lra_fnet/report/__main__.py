"""Write the page and the tables of all results.

python -m lra_fnet.report [--runs="results runs"] [--to=report]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lra_fnet.report.contents import Contents, contents
from lra_fnet.report.page import page
from lra_fnet.report.sources import read_sources
from lra_fnet.report.tables import comma_separated, markdown
from lra_fnet.result import write_text

FOLDERS = "results runs"
PAGE, MARKDOWN, CSV = "index.html", "table.md", "table.csv"


def write_report(found: Contents, folder: Path) -> list[Path]:
    """Write the page and the tables, each in one move, and return their paths."""
    texts = {
        PAGE: page(found),
        MARKDOWN: markdown(found),
        CSV: comma_separated(found),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def main(arguments: Sequence[str] | None = None) -> None:
    """Read, write, and end with an error if a file had to be left out."""
    parser = argparse.ArgumentParser(prog="python -m lra_fnet.report")
    parser.add_argument("--runs", default=FOLDERS, help="folders with results")
    parser.add_argument("--to", type=Path, default=Path("report"))
    options = parser.parse_args(arguments)
    folders = [Path(name) for name in options.runs.split()]
    for folder in folders:
        if options.runs != FOLDERS and not folder.is_dir():
            sys.exit(
                f"error: runs is {options.runs!r}, but there is no folder {folder}"
            )
    found = contents(read_sources(folders))
    paths = write_report(found, options.to)
    print(f"{found.summary()}; wrote {', '.join(map(str, paths))}")
    for line in [*found.findings(), *found.remarks]:
        print(f"  {line}")
    if found.problems:
        sys.exit("\n".join(f"left out: {line}" for line in found.problems))


if __name__ == "__main__":
    main()
