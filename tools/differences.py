"""List what LRA's own code does otherwise: what `make docs` writes to a page.

A comment that begins with "LRA:" says it where it happens, and so does a paragraph of
a docstring.
"""

import ast
import io
import itertools
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "differences.md"
FOLDERS = {
    "tasks": "Data",
    "configs": "Settings",
    "lra_fnet/model": "Model",
    "lra_fnet/mixers": "Mixers",
}
HEAD = """# What LRA's code does otherwise

Each line says what the original's code does, and with "here" what is done instead; the
quirks that shape its images are kept. These are the comments that begin with `LRA:`,
each at its place in the code, collected by `make docs`. What they come to for the data
is explained in [data.md](data.md).
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())
    print(f"wrote {PAGE.relative_to(ROOT)}")


def page() -> str:
    """Return the page: a list for each folder, in the order of the files."""
    sections = [HEAD]
    for folder, title in FOLDERS.items():
        paths = sorted((ROOT / folder).rglob("*.py"))
        lines = [
            f"- [{path.stem}](../{path.relative_to(ROOT)}): {said}"
            for path in paths
            for said in differences(path.read_text())
        ]
        sections.append("\n".join([f"## {title}", "", *lines, ""]))
    return "\n".join(sections)


def differences(source: str) -> list[str]:
    r"""Return what the comments and docstrings of a module say, in its order.

    >>> differences("# LRA: sums\n# padding.\nx = 1  # LRA: 2\n# a; LRA: no more")
    ['sums padding.', '2 (`x = 1`)', 'no more']
    """
    found = sorted([*_in_comments(source), *_in_docstrings(source)])
    return [" ".join(said.split()) for _, said in found]


def _in_comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of comments; whole lines go on in those that follow."""
    lines = source.splitlines()
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {
        token.start: token.string.lstrip("# ")
        for token in tokens
        if token.type == tokenize.COMMENT
    }
    for (row, column), text in comments.items():
        _, mark, said = text.partition("LRA:")
        if not mark:
            continue
        if code := lines[row - 1][:column].strip():
            yield row, f"{said} (`{code.removeprefix('config.')}`)"
            continue
        for following in itertools.count(row + 1):
            more = comments.get((following, column), "")
            if not more or "LRA:" in more:
                break
            said = f"{said} {more}"
        yield row, said


def _in_docstrings(source: str) -> Iterable[tuple[int, str]]:
    """Yield line and text of the paragraphs of docstrings."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, kinds):
            continue
        for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
            if paragraph.startswith("LRA:"):
                said = paragraph.removeprefix("LRA:")
                if isinstance(node, ast.Module):
                    yield 0, said
                else:
                    yield node.lineno, f"{said} (`{node.name}`)"


if __name__ == "__main__":
    main()
