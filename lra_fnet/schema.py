"""What is in `result.json`, `failure.json` and the files of speed measurements.

The classes here are the only declaration of these files. Writing and reading, what an
error message says, the JSON schema and the tables of docs/results.md come from them.
A field without a default is needed in any file, also one that another program made.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin

import pydantic
from pydantic import Field
from pydantic_core import PydanticCustomError
from scipy.stats import binomtest

from lra_fnet.config import with_todays_keys
from lra_fnet.workdir import write_json

LARGEST = 2**53  # whole numbers up to here are the same in every JSON reader


class BadFile(Exception):
    """A file is not what its class declares; the message names file and field."""


IMPOSSIBLE = "impossible"  # kind of an error whose message is shown as it is


def _impossible(message: str) -> PydanticCustomError:
    """Return an error about fields that cannot hold together."""
    return PydanticCustomError(IMPOSSIBLE, "{said}", {"said": message})


# ---------------------------------------------------------------------------
# What a field must be

Text = Annotated[str, Field(min_length=1, title="a text that is not empty")]
Name = Annotated[
    str, Field(min_length=1, max_length=200, title="a text of up to 200 characters")
]
Count = Annotated[int, Field(ge=0, le=LARGEST, title="a whole number, 0 or more")]
Positive = Annotated[int, Field(ge=1, le=LARGEST, title="a whole number, 1 or more")]
Many = Annotated[int, Field(ge=2, le=LARGEST, title="a whole number, 2 or more")]
Number = Annotated[float, Field(title="a number")]
Amount = Annotated[float, Field(ge=0, title="a number, 0 or more")]
Share = Annotated[float, Field(ge=0, le=1, title="a number from 0 to 1")]
Flag = Annotated[bool, Field(title="true or false")]
Mapped = Annotated[dict[str, Any], Field(title="an object")]
Shares = Annotated[dict[str, Share], Field(title="numbers from 0 to 1 by name")]
Texts = Annotated[dict[str, str], Field(title="texts by name")]
Lines = Annotated[list[str], Field(title="a list of texts")]


class Record(pydantic.BaseModel):
    """A part of a file: strict types, finite numbers, unknown fields kept."""

    model_config = pydantic.ConfigDict(
        strict=True,
        frozen=True,
        extra="allow",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
        validate_by_name=True,
        validate_by_alias=True,
    )


# Not Self, which the checker of array shapes in the tests cannot read.
AnyFile = TypeVar("AnyFile", bound="File")


class File(Record):
    """A file of its own, with the version of its declaration in `schema`."""

    # From earlier versions that can be read: the names that fields had.
    renamed: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def read(cls: type[AnyFile], path: Path) -> AnyFile:
        """Read a file, also one of an earlier version.

        Raises:
          BadFile: it is no JSON, or a field is not what it must be.
        """
        return cls.parse(_parsed(path), path)

    @classmethod
    def parse(cls: type[AnyFile], content: Any, path: Path) -> AnyFile:
        """Return the content of a file as this type; see `read`."""
        try:
            return cls.model_validate(cls._upgraded(content))
        except pydantic.ValidationError as error:
            raise BadFile(f"{path}: {problem(error)}") from error

    @classmethod
    def _upgraded(cls, content: Any) -> Any:
        """Return the content of an earlier version under today's names."""
        if not isinstance(content, dict):
            return content
        content = {cls.renamed.get(key, key): value for key, value in content.items()}
        if isinstance(content.get("config"), dict):
            content["config"] = with_todays_keys(content["config"])
        return content

    def as_json(self) -> dict[str, Any]:
        """Return what the file holds, without fields that are not known."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def write(self, path: Path) -> None:
        """Write the file in one move."""
        write_json(path, self.as_json())


# ---------------------------------------------------------------------------
# result.json


def binomial_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the Wilson 95 % interval of a share `correct` / `total`.

    Wilson, Probable inference (JASA 1927). It covers the noise of a finite test set
    for one trained model, not the spread over seeds.

    >>> low, high = binomial_interval(700, 2000)
    >>> round(low, 4), round(high, 4)
    (0.3294, 0.3712)
    """
    interval = binomtest(correct, total).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


class Counts(Record):
    """Right answers out of all."""

    correct: Count
    """Right answers."""
    examples: Count
    """Answers."""

    @pydantic.model_validator(mode="after")
    def _is_possible(self) -> "Counts":
        """Check that no more answers are right than there are."""
        if self.correct > self.examples:
            raise _impossible(
                f"correct is {self.correct}; it must be at most examples, "
                f"{self.examples}"
            )
        return self


class Score(Counts):
    """Right answers to the examples of a split."""

    examples: Many
    """Answers."""
    step: Count | None = None
    """Training steps that the scored parameters have had."""
    accuracy: Share | None = None
    """correct / examples."""
    loss: Number | None = None
    """Mean cross-entropy, nats; of language models, over all positions of windows."""
    interval_95: Annotated[list[Share], Field(title="a list of two shares")] | None = (
        None
    )
    """Bounds of the Wilson 95 % interval of the accuracy."""

    @classmethod
    def of(
        cls, correct: int, examples: int, step: int, loss: float | None = None
    ) -> "Score":
        """Return the score with accuracy and interval."""
        return cls(
            correct=correct,
            examples=examples,
            step=step,
            accuracy=correct / examples,
            loss=loss,
            interval_95=list(binomial_interval(correct, examples)),
        )


class Part(Counts):
    """A part of the test split."""

    value: Text | None = None
    """The word that its examples share."""
    low: Number | None = None
    """Least value in the part."""
    high: Number | None = None
    """Largest value in the part, included."""


class DataFacts(Record):
    """The examples."""

    source: Text
    """Where they came from: generated, official, tfds, folder, sample, ..."""
    checksum: Text
    """Names the prepared data; results share a column only where it is the same."""
    provenance: Mapped | None = None
    """What the data were made from."""
    validation_is_test: Flag = False
    """Whether the parameters were chosen on the test split itself."""


class Flops(Record):
    """Floating-point operations; null: not known."""

    forward: Amount | None = None
    """Of one example's forward pass, counted from the trace."""
    train_step: Amount | None = None
    """Of a training step, counted from the trace."""
    xla_train_step: Number | None = None
    """Of a training step, by the compiler's account."""


class Rules(Record):
    """Whether the run keeps the rules of the benchmark."""

    free_for_all: Flag
    """Whether it breaks one."""
    reasons: Lines
    """What breaks them."""
    base_parameters: Count | None = None
    """Of the base Transformer on the same task."""
    parity: Annotated[str, Field(title="a text")] = ""
    """params: sizes were solved for the base Transformer's parameters; else empty."""


class Seconds(Record):
    """Time of all processes that worked on the run, in seconds."""

    compile: Amount
    """Tracing and compiling."""
    train: Amount
    """Training steps."""
    evaluate: Amount
    """Evaluation."""


class Speed(Record):
    """Of the steady state: without compilation, evaluation and warm-up."""

    steps_per_second: Amount
    """Training steps of the program, 1/s."""
    examples_per_second: Amount | None = None
    """Training examples of all its seeds, 1/s."""
    steps_measured: Count | None = None
    """Steps that were measured."""
    seeds_in_program: Positive = 1
    """Seeds trained together."""


# What the figure of each method is of. They are not comparable: an allocator's peak has
# all splits, evaluations and whatever else the process computed in it.
MEMORY_OF = {
    "allocator peak": "the process, at its peak",
    "compiled memory analysis": "a training call",
}


class Memory(Record):
    """Peak memory of one device in training."""

    bytes: Count
    """Bytes."""
    method: Text
    """How it was found: allocator peak, or compiled memory analysis."""

    @property
    def is_of(self) -> str:
        """What needs it."""
        return MEMORY_OF.get(self.method, self.method)


class Device(Record):
    """What computed."""

    platform: Text | None = None
    """cpu, gpu or tpu."""
    kind: Text
    """Name of the device."""
    count: Positive
    """Devices."""
    hosts: Positive = 1
    """Processes that shared the run."""
    cpu_cores: Positive | None = None
    """Processor cores of a host."""
    xla_flags: Text | None = None
    """XLA_FLAGS, what the environment told the compiler."""


class Point(Record):
    """A point of a learning curve."""

    step: Count
    """Training steps so far."""
    loss: Number | None = None
    """Mean cross-entropy, nats; mean error of restored values, in [-1, 1]."""
    accuracy: Share
    """Share of right answers; of restored values, 1 less the mean error / 2."""


class Curves(Record):
    """Learning curves."""

    train: Annotated[list[Point], Field(title="a list of points")] = []
    """On training batches, mean since the point before."""
    validation: Annotated[list[Point], Field(title="a list of points")] = []
    """On the validation split."""


class Pretraining(Record):
    """The first steps, which restored hidden positions; its points are over these."""

    objective: Text
    """What was learned: masked."""
    steps: Count
    """How many of the run's steps."""
    validation: Point
    """On the validation inputs, with the parameters that were best and went on."""
    curves: Curves = Curves()
    """Over these steps."""


class Result(File):
    """`result.json`: one seed of one config."""

    renamed = {
        "model": "mixer",
        "readers": "trivial_baselines",
        "accumulate": "micro_batches",
    }

    schema_: Annotated[Literal[2, 3], Field(alias="schema", title="2 or 3")]
    """Version of this declaration; 2 has other names for three fields."""
    task: Name
    """Name of the task: a column of the tables."""
    mixer: Name
    """Name of the mixer: a row of the tables."""
    recipe: Name
    """Name of the budget: lra2020, strong, small, quick, or another program's own."""
    seed: Count
    """Of parameters, dropout and the order of examples."""
    program: Text | None = None
    """What made the file, if not this suite."""
    config: Mapped = {}
    """The resolved config without the folder of the data; keys: configs/common.py."""
    config_hash: Text | None = None
    """12 hexadecimal digits: name of the config without seeds and `run`."""
    data: DataFacts
    """The examples."""
    trivial_baselines: Shares = {}
    """Accuracies of trivial baselines on the same test split, by name."""
    test: Score
    """On the test split, with the parameters that were best on validation."""
    test_last_step: Score | None = None
    """On the test split, with the last parameters."""
    validation: Score | None = None
    """On the validation split, with the same parameters as test."""
    validation_last_step: Score | None = None
    """On the validation split, with the last parameters."""
    breakdown: Annotated[
        dict[str, list[Part]], Field(title="lists of parts by name")
    ] = {}
    """The test answers by features of the examples."""
    steps: Count | None = None
    """Training steps."""
    micro_batches: Positive | None = None
    """Parts that each batch was computed in."""
    parameters: Count | None = None
    """Of the model."""
    flops: Flops | None = None
    """Floating-point operations."""
    rules: Rules | None = None
    """Whether the run keeps the rules of the benchmark."""
    command: Text | None = None
    """What repeats the run, at the root of the repository."""
    seconds: Seconds | None = None
    """Time of all processes that worked on the run."""
    speed: Speed | None = None
    """Of the steady state: without compilation, evaluation and warm-up."""
    peak_memory: Memory | None = None
    """Of one device in training."""
    device: Device | None = None
    """What computed."""
    versions: Texts = {}
    """Of Python and the libraries, by name."""
    commit: Text | None = None
    """Of the code, with -dirty if it was changed since; null: not known."""
    finished: Text | None = None
    """When the run ended, UTC, such as 2026-01-31T12:00:00+00:00."""
    curves: Curves = Curves()
    """Over the run, without pre-training."""
    pretraining: Pretraining | None = None
    """The first steps of a run that was pre-trained on the task's training inputs."""


class Failure(File):
    """`failure.json`: why a run has no result. The next attempt removes it."""

    renamed = {"model": "mixer"}

    schema_: Annotated[Literal[1, 2], Field(alias="schema", title="1 or 2")]
    """Version of this declaration; 1 has `model` for `mixer`."""
    task: Name
    """Name of the task."""
    mixer: Name
    """Name of the mixer."""
    recipe: Name
    """Name of the budget."""
    seed: Count
    """Of the run, the first of several."""
    config_hash: Text | None = None
    """As in result.json."""
    config: Mapped = {}
    """The resolved config, without the folder of the data."""
    kind: Text = "error"
    """data, memory, not finite, disk, killed, or error for all others."""
    reason: Text
    """What went wrong, in a line."""
    step: Count | None = None
    """Last step that was logged."""
    time: Amount | None = None
    """When it ended, seconds since 1970."""


# ---------------------------------------------------------------------------
# A speed measurement: <device>/<sizes>/<mixer>-<length>.json


class Spread(Record):
    """A figure over repeats."""

    median: Amount
    """Middle repeat."""
    low: Amount | None = None
    """Lowest repeat."""
    high: Amount | None = None
    """Highest repeat."""
    repeats: Positive | None = None
    """Repeats."""


class SpeedResult(File):
    """A speed measurement of a mixer at a length."""

    renamed = {"model": "mixer"}

    schema_: Annotated[Literal[1, 2], Field(alias="schema", title="1 or 2")]
    """Version of this declaration; 1 has `model` for `mixer`."""
    kind: Annotated[Literal["speed"], Field(title="'speed'")]
    """What the file is."""
    mixer: Name
    """Name of the mixer."""
    task: Text
    """Whose sizes the model has."""
    length: Positive
    """Positions of an example."""
    width: Positive | None = None
    """Channels."""
    batch_size: Positive
    """Examples of a step, over all devices."""
    asked_batch_size: Positive | None = None
    """Examples that were asked for, where memory allowed fewer."""
    train_steps_per_second: Spread | None
    """Training steps, 1/s; null: not measured."""
    inference_seconds: Spread | None
    """Seconds to answer a batch; null: not measured."""
    fnet_speed_up: Spread | None = None
    """How many times as long as FNet's a training step takes, in turns with it."""
    peak_memory: Memory | None
    """Of one device in training; null: not measured."""
    compile_seconds: Amount | None = None
    """Seconds to trace and compile a training call; null: not measured."""
    status: Text
    """ok, or a word for why there are no numbers, such as out of memory."""
    reason: Annotated[str, Field(title="a text")]
    """Why the batch is smaller, or there are no numbers; or empty."""
    limit_seconds: Amount | None = None
    """Seconds a process may take; a measurement that takes longer is slow."""
    device: Device
    """What computed."""
    versions: Texts = {}
    """Of Python and the libraries, by name."""
    commit: Text | None = None
    """Of the code, with -dirty if it was changed since; null: not known."""
    command: Text | None = None
    """What repeats the measurement."""

    @pydantic.model_validator(mode="after")
    def _is_measured(self) -> "SpeedResult":
        """Check that nothing is missing where all went well."""
        for name in ("train_steps_per_second", "inference_seconds", "peak_memory"):
            if self.status == "ok" and getattr(self, name) is None:
                raise _impossible(
                    f"{name} is null; where the status is 'ok' it must be measured"
                )
        return self


FILES: Mapping[str, type[File]] = {
    "result": Result,
    "failure": Failure,
    "speed": SpeedResult,
}


# ---------------------------------------------------------------------------
# What is wrong with a file, and what its fields are


def problem(error: pydantic.ValidationError) -> str:
    """Return what is wrong with the first bad field of a file, in a line."""
    # A file of another version is wrong in that before all else.
    first = min(error.errors(), key=lambda e: (e["loc"] != ("schema",), str(e["loc"])))
    name = ".".join(map(str, first["loc"])) or "the file"
    if first["type"] == "missing":
        return f"{name} is missing"
    if first["type"] == IMPOSSIBLE:
        return first["msg"] if name == "the file" else f"{name}.{first['msg']}"
    must = (
        first["msg"]
        .replace("Input should", "it must")
        .replace("String should", "it must")
    )
    return f"{name} is {_shown(first['input'])}; {must}"


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind of file, one of FILES, for other programs."""
    return FILES[kind].model_json_schema()


def fields(kind: type[Record], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield every field: its dotted name, what it must be, what it means.

    A field that every file must have ends in `*`.
    """
    for key, field in kind.model_fields.items():
        name, star = prefix + (field.alias or key), "*" if field.is_required() else ""
        inside, path = _record_inside(field.annotation)
        must = field.title or _title(field.annotation) or "an object"
        yield f"{name}{star}", must, field.description or ""
        if inside:
            yield from fields(inside, f"{name}{path}.")


def _title(annotation: Any) -> str:
    """Return the title of an annotated type, also of one that may be missing."""
    for part in (annotation, *get_args(annotation)):
        for extra in getattr(part, "__metadata__", ()):
            if getattr(extra, "title", None):
                return extra.title
    return ""


def _record_inside(annotation: Any) -> tuple[type[Record] | None, str]:
    """Return the record that a type is or holds, and how its place is written."""
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return annotation, ""
    sign = {list: "[]", dict: ".NAME"}.get(get_origin(annotation), "")
    for part in get_args(annotation):
        inside, path = _record_inside(part)
        if inside:
            return inside, sign + path
    return None, ""


def _shown(value: Any) -> str:
    """Return a value as it stands in a message: short."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _parsed(path: Path) -> Any:
    """Read a JSON file; NaN and infinity are no numbers."""
    try:
        return json.loads(
            path.read_text(), parse_constant=_refuse, object_pairs_hook=_without_repeats
        )
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"{path}: it cannot be read as JSON ({error})") from error


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; refuse one whose key is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refuse(constant: str) -> None:
    """Refuse a number that is none."""
    raise ValueError(f"{constant} is no number")
