"""Hold result files to their schemas, and say in one line what is wrong with one."""

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from lra_fnet.report.markdown import table

FOLDER = Path(__file__).parent / "schemas"
KINDS = ("result", "speed", "failure")
SCORES = ("test", "test_last_step", "validation", "validation_last_step")


@functools.cache
def schema(kind: str) -> dict[str, Any]:
    """Return the schema of a kind of file: one of KINDS.

    It is JSON Schema, read by other programs too: `title` says what a value must be,
    `description` what it means, `required` what even a foreign file must have.
    """
    return json.loads((FOLDER / f"{kind}.json").read_text())


def problem(content: Any, kind: str) -> str:
    """Return what is wrong with the first bad field of a file; nothing if it is good.

    >>> problem({"schema": 3}, "failure")
    'schema is 3; it must be 1'
    """
    errors = Draft202012Validator(schema(kind)).iter_errors(content)
    # A file of another version is wrong in that before all else.
    lines = sorted((_path(e) != "schema", _path(e), _line(e)) for e in errors)
    if lines:
        return lines[0][-1]
    checks = {"result": _impossible_counts, "speed": _missing_measurement}
    return checks[kind](content) if kind in checks else ""


def _line(error: ValidationError) -> str:
    """Return the field, its value and what it must be."""
    if error.validator == "required":
        missing = next(n for n in error.validator_value if n not in error.instance)
        expected = error.schema.get("properties", {}).get(missing, {})
        return f"{_path(error, missing)} is missing; it must be {expected['title']}"
    name = _path(error) or "the file"
    return f"{name} is {_shown(error.instance)}; it must be {error.schema['title']}"


def _path(error: ValidationError, *more: str) -> str:
    """Return the dotted name of a field."""
    return ".".join(map(str, [*error.absolute_path, *more]))


def _shown(value: Any) -> str:
    """Return a value as it stands in a message: short."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _impossible_counts(result: Mapping[str, Any]) -> str:
    """Return which counts cannot be; a schema cannot compare fields."""
    scores = ((name, result[name]) for name in SCORES if name in result)
    parts = (
        (f"breakdown.{name}.{i}", part)
        for name, column in result.get("breakdown", {}).items()
        for i, part in enumerate(column)
    )
    for name, counts in (*scores, *parts):
        if counts["correct"] > counts["examples"]:
            return (
                f"{name}.correct is {counts['correct']}; it must be at most "
                f"{name}.examples, {counts['examples']}"
            )
    return ""


def _missing_measurement(cell: Mapping[str, Any]) -> str:
    """Return what a speed cell lacks although all went well."""
    for name in ("train_steps_per_second", "inference_seconds", "peak_memory"):
        if cell["status"] == "ok" and cell[name] is None:
            return f"{name} is null; where the status is 'ok' it must be measured"
    return ""


def fields(kind: str) -> Iterator[tuple[str, str, str]]:
    """Yield every field of a kind: its dotted name, what it must be, what it means.

    A field that every file must have ends in `*`.
    """
    yield from _fields(schema(kind), "")


def _fields(part: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    """Yield the fields of an object, and those inside of them."""
    for name, field in part.get("properties", {}).items():
        star = "*" if name in part.get("required", ()) else ""
        yield f"{prefix}{name}{star}", field["title"], field["description"]
        yield from _fields(field, f"{prefix}{name}.")
        inside = field.get("items", field.get("additionalProperties"))
        if isinstance(inside, dict):
            items = f"{prefix}{name}{'[]' if 'items' in field else '.NAME'}"
            if "items" in inside:  # a list in each named entry
                items, inside = f"{items}[]", inside["items"]
            yield from _fields(inside, f"{items}.")


def described(kind: str) -> str:
    """Return the fields of a kind as a Markdown table, for docs/results.md."""
    rows = [[f"`{name}`", must, meaning] for name, must, meaning in fields(kind)]
    return table(["field", "is", "meaning"], rows)


def main() -> None:
    """Print the tables of docs/results.md."""
    for kind in KINDS:
        print(described(kind))


if __name__ == "__main__":
    main()
