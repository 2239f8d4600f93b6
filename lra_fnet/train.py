"""The training run from top to bottom: data, program, resume, steps, test, result.

`train_and_evaluate` is the extension point: copy it rather than hang hooks on it.
"""

import collections
import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from lra_fnet import hosts
from lra_fnet.batches import call_indices
from lra_fnet.checkpoint import CheckpointError, Checkpoints, Snapshot
from lra_fnet.config import (
    check_config,
    differences,
    make_program,
    placeless,
    resolve,
    seeds_of,
)
from lra_fnet.data import Dataset, data_root, load_dataset
from lra_fnet.evaluate import Evaluator, breakdown
from lra_fnet.flops import count_flops, forward_flops
from lra_fnet.hardware import (
    CALLS_AHEAD,
    OutOfMemory,
    compiled_with_need,
    default_steps_per_call,
    describe_device,
    is_out_of_memory,
    peak_memory,
    usable_memory,
)
from lra_fnet.logbook import (
    Logbook,
    NotFinite,
    Progress,
    Record,
    SilentLogbook,
    last_step,
)
from lra_fnet.metrics import Sums
from lra_fnet.result import (
    BEFORE,
    FAILURE_FILE,
    finished_results,
    git_commit,
    make_failure,
    result_folders,
    seed_result,
    write_result,
)
from lra_fnet.rules import check_rules, count_parameters, repeat_command
from lra_fnet.schema import Result, Score
from lra_fnet.step import (
    Best,
    DeviceSplit,
    Program,
    TrainState,
    carry_over,
    keep_best,
)
from lra_fnet.workdir import (
    PRETRAINING_FOLDER,
    FolderLock,
    WorkdirError,
    claim,
    is_of_another,
)
from tasks import DataError, make_task

SECONDS_PER_CALL = 1.0  # where the number of steps is chosen by it


class Interrupted(Exception):
    """A signal stopped the run; it can resume from its checkpoint."""

    def __init__(self, signal_number: int, step: int):
        super().__init__(f"stopped at step {step:,}; the checkpoint is saved")
        self.signal_number = signal_number


def train_and_evaluate(
    config: ConfigDict, workdir: Path, parity: str = ""
) -> list[Result]:
    """Train, select by validation, test once; return one result for each seed.

    Resumes from the newest checkpoint in `workdir`; a finished run is not repeated. A
    run that fails leaves `failure.json` there, which the next attempt removes. Of
    several hosts the first one writes and returns results; the others return none.

    Args:
      config: of the run.
      workdir: a folder for this run alone.
      parity: "params" if the sizes were solved to match the base Transformer's.

    Raises:
      DataError, WorkdirError, CheckpointError, NotFinite, Interrupted: see there.
      OutOfMemory: not even single examples fit.
      FolderLocked: another process runs in `workdir`.
      HostError: another host failed, or does something else than this one.
      ValueError: a value of the config is out of its range.
    """
    check_config(config)
    with contextlib.ExitStack() as stack:
        hosts.on_first(lambda: stack.enter_context(FolderLock(workdir)))
        if not is_of_another(workdir, resolve(config)):
            stack.enter_context(_failure_recorded(config, workdir))
        return _train_and_evaluate(config, workdir, parity, stack)


def _train_and_evaluate(
    config: ConfigDict, workdir: Path, parity: str, stack: contextlib.ExitStack
) -> list[Result]:
    commit = git_commit()  # now: what runs, whatever is changed meanwhile
    # -- Data, and whose workdir this is ---------------------------------------------
    identity, seeds = resolve(config), seeds_of(config)
    folders = result_folders(workdir, seeds)
    task = make_task(config.task, **config.data)
    _check_same_run(identity, workdir)
    program = make_program(config, task)
    # Asking the model also refuses values that it cannot take, before data are made.
    parameters = count_parameters(config, task)
    dataset = hosts.together(lambda: load_dataset(task, data_root()))
    _check_same_data(dataset)
    print(dataset.summary())
    hosts.on_first(lambda: claim(workdir, identity, dataset.checksum))
    finished = finished_results(folders) or []
    if hosts.exchange(bool(finished))[0]:
        print(f"{workdir} holds the finished run; delete it to train again")
        return finished

    # -- Arrays on the devices -------------------------------------------------------
    train_split, validation_split, test_split = (
        program.put(dataset.splits[name].inputs, dataset.splits[name].labels)
        for name in ("train", "validation", "test")
    )

    # -- State: fresh, or from the newest checkpoint ---------------------------------
    begin = partial(_begin, config=config, inputs=train_split.inputs, stack=stack)
    phase = begin("", program, workdir)
    rules = check_rules(config, task, parameters, parity)
    step, num_steps = phase.step, config.train.num_steps
    pretraining = None
    if step < config.pretrain.num_steps:
        restorer = make_program(config, task, pretraining=True)
        pretraining = begin(BEFORE, restorer, workdir / PRETRAINING_FOLDER)
        step = pretraining.step
    log = stack.enter_context(
        Logbook(workdir, step, num_steps, config.run.tensorboard)
        if hosts.is_first()
        else SilentLogbook()
    )
    if step:
        log.say(f"resuming from step {step:,} of {num_steps:,} in {workdir}")
        current = pretraining or phase
        hosts.on_first(lambda: _check_record(log, current, config.pretrain.num_steps))

    # -- Steps: to restore hidden positions, if so configured; then of the task ------
    take_steps = partial(
        _take_steps, config, log, train_split, validation_split, task.num_first
    )
    if pretraining:
        last_step, best = config.pretrain.num_steps, pretraining.best
        if step < last_step:
            log.say(f"pre-training to step {last_step:,}: restoring hidden positions")
            best = take_steps(pretraining, last_step).best
        phase = phase.start_from(carry_over(phase.state, best.params, last_step))
        del pretraining, best  # to free their memory
    program, state, best, train, flops, evaluator = take_steps(phase, num_steps)

    # -- Test, once ------------------------------------------------------------------
    test, answers = evaluator(best.params, test_split)
    test_last = test
    if (np.asarray(best.step) < num_steps).any():
        test_last, _ = evaluator(state.params, test_split)
    log.write("test", num_steps, evaluator.take_seconds())
    if not hosts.is_first():
        return []

    # -- Result ----------------------------------------------------------------------
    records, best_step = list(log.records()), np.asarray(best.step)
    shared = {
        "task": task.name,
        "config": identity,
        "data": dataset.facts(),
        "trivial_baselines": dataset.manifest["trivial_baselines"],
        "micro_batches": program.micro_batches,
        "parameters": parameters,
        "flops": {
            "forward": forward_flops(program.model, train_split.inputs),
            **{name: count and count / len(seeds) for name, count in flops.items()},
        },
        "rules": rules,
        "command": repeat_command(config),
        "commit": commit,
        "peak_memory": peak_memory(train),
        "device": describe_device(program.mesh),
    }
    results = []
    test_labels = np.asarray(dataset.splits["test"].labels)
    for row, (seed, folder) in enumerate(zip(seeds, folders, strict=True)):
        correct = answers[row] == test_labels
        result = seed_result(
            shared,
            records,
            row,
            seed,
            test=_score(test, row, int(best_step[row])),
            test_last_step=_score(test_last, row, num_steps),
            validation=_validation_score(records, row, int(best_step[row])),
            validation_last_step=_validation_score(records, row, num_steps),
            breakdown=breakdown(dataset.splits["test"], task.pad_id, correct),
        )
        write_result(folder, result, answers[row], correct)
        results.append(result)
    return results


class Phase(NamedTuple):
    """The steps with one objective, and where they stand.

    Attributes:
      prefix: of the names of its events in the logbook.
      program: what computes.
      checkpoints: of these steps alone.
      state, best: after the steps so far.
    """

    prefix: str
    program: Program
    checkpoints: Checkpoints
    state: TrainState
    best: Best

    @property
    def step(self) -> int:
        """Return the number of steps taken, of all phases."""
        return int(self.state.step[0])

    def start_from(self, state: TrainState) -> "Phase":
        """Return the phase before its first step, from another state."""
        return self._replace(state=state, best=Best.before_training(state))


class Trained(NamedTuple):
    """What a phase ends with.

    Attributes:
      program: what computed, in the micro-batches that fit.
      state, best: after the last step.
      train: the compiled call.
      flops: operations of a step of all seeds.
      evaluator: compiled for the validation split.
    """

    program: Program
    state: TrainState
    best: Best
    train: jax.stages.Compiled
    flops: dict[str, float | None]
    evaluator: Evaluator


def _begin(
    prefix: str,
    program: Program,
    folder: Path,
    config: ConfigDict,
    inputs: jax.Array,
    stack: contextlib.ExitStack,
) -> Phase:
    """Return a phase at its newest checkpoint below a folder, or else fresh."""
    state = program.init(jnp.array(seeds_of(config)), inputs)
    best = Best.before_training(state)
    checkpoints = stack.enter_context(Checkpoints(folder))
    restored = checkpoints.restore(like=Snapshot(state, best))
    if restored:
        return Phase(prefix, program, checkpoints, restored.state, restored.best)
    phase = Phase(prefix, program, checkpoints, state, best)
    if config.init.from_run:
        return phase.start_from(_with_encoder_of_run(config, state))
    return phase


def _with_encoder_of_run(config: ConfigDict, state: TrainState) -> TrainState:
    """Return a fresh state with the encoder of the run that the config names.

    Raises:
      ValueError, WorkdirError, CheckpointError: see `encoder_of`.
    """
    from lra_fnet.trained.initial import encoder_of  # most runs need none of it

    return carry_over(state, encoder_of(config, state.params), 0)


def _take_steps(
    config: ConfigDict,
    log: Logbook,
    train_split: DeviceSplit,
    validation_split: DeviceSplit,
    num_first: int,
    phase: Phase,
    num_steps: int,
) -> Trained:
    """Compile, and train from where a phase stands to the step that ends it."""
    prefix, program, checkpoints, state, best = phase
    step, seeds = phase.step, seeds_of(config)

    # -- Compile ---------------------------------------------------------------------
    compile_started = time.monotonic()
    most_steps = config.run.steps_per_call or default_steps_per_call(program.mesh)
    indices_of_call = partial(
        call_indices,
        seeds,
        max_steps=most_steps,
        batch_size=config.train.batch_size,
        num_examples=len(train_split.labels),
        num_first=num_first,
        first_at=config.pretrain.num_steps,  # a curriculum is for the task's own steps
    )
    call = (state, *train_split, indices_of_call(0, 1), np.int32(1))
    fastest = program.micro_batches
    program, train, flops = compile_training(
        program, call, fixed=config.train.micro_batches > 0
    )
    if program.micro_batches > fastest:
        log.say(f"to fit memory, each batch is {program.micro_batches} micro-batches")
    evaluator = Evaluator(program, config.run.eval_batch_size)
    evaluator.compile(state.params, validation_split)
    evaluator.take_seconds()
    log.write("compile", step, {"compile_seconds": time.monotonic() - compile_started})

    # -- Steps -----------------------------------------------------------------------
    all_steps, event = config.train.num_steps, f"{prefix}train"
    progress = Progress(log, program.schedule, step, all_steps, event)
    ahead: collections.deque[jax.Array] = collections.deque()
    length = CallLength(most_steps, is_fixed=config.run.steps_per_call > 0)
    with hosts.StopSignals() as signals:
        stop = hosts.AgreedStop(signals, program.mesh, CALLS_AHEAD)
        while step < num_steps:
            count = length.begin(_next_stop(step, num_steps, config) - step)
            indices = indices_of_call(step, count)
            state, sums, bad_step = train(state, *train_split, indices, np.int32(count))
            length.end(bad_step)
            step += count
            progress.add(sums, bad_step)
            ahead.append(bad_step)
            if len(ahead) > CALLS_AHEAD:
                ahead.popleft().block_until_ready()
            stopped_by = stop.after_call()

            last = step == num_steps
            evaluate = last or step % config.train.eval_every == 0
            save = last or step % config.run.checkpoint_every == 0 or stopped_by
            if evaluate or save or step % config.run.log_every == 0:
                progress.end(step)
            if evaluate or save:
                progress.flush()  # raises before anything that is not finite is saved
            if evaluate:
                sums, _ = evaluator(state.params, validation_split)
                best = keep_best(best, state, jnp.asarray(sums.accuracy()))
                seconds = evaluator.take_seconds()
                _log_validation(log, f"{prefix}validation", step, sums, best, seconds)
            if save:
                log.sync()
                checkpoints.save(step, Snapshot(state, best))
            if evaluate or save:
                progress.restart_clock()
            if stopped_by and step < all_steps:
                hosts.together(checkpoints.wait)
                raise Interrupted(stopped_by, step)
    hosts.together(checkpoints.wait)

    return Trained(program, state, best, train, flops, evaluator)


@contextlib.contextmanager
def _failure_recorded(config: ConfigDict, workdir: Path) -> Iterator[None]:
    """Leave the reason of a failure in the workdir; a signal to stop is none."""
    path = workdir / FAILURE_FILE
    if hosts.is_first() and path.exists():
        path.unlink()
    try:
        yield
    except (Interrupted, WorkdirError, hosts.HostError):
        raise
    except Exception as error:
        if hosts.is_first():
            failure = make_failure(
                resolve(config), *_kind_and_reason(error), last_step(workdir)
            )
            with contextlib.suppress(OSError):  # a full disk fails this as well
                workdir.mkdir(parents=True, exist_ok=True)
                failure.write(path)
        raise


def _kind_and_reason(error: Exception) -> tuple[str, str]:
    """Return the kind of an error for `failure.json`, and what it says first."""
    kinds = {
        DataError: "data",
        NotFinite: "not finite",
        OutOfMemory: "memory",
        CheckpointError: "disk",
        OSError: "disk",
    }
    found = [
        kind for error_type, kind in kinds.items() if isinstance(error, error_type)
    ]
    kind = "memory" if is_out_of_memory(error) else [*found, "error"][0]
    said = str(error).strip().splitlines() or [""]
    if kind == "error" and not isinstance(error, ValueError):
        return kind, f"{type(error).__name__}: {said[0]}"
    return kind, said[0]


def compile_training(
    program: Program, call: tuple[Any, ...], fixed: bool
) -> tuple[Program, jax.stages.Compiled, dict[str, float | None]]:
    """Compile the training call, in more parts of a batch where memory needs them.

    Returns what computes, and the operations of a step of all seeds. The host with the
    least memory decides.

    Raises:
      OutOfMemory: not even single examples fit, or XLA refuses the number of parts that
        was asked for.
    """
    usable = min(hosts.exchange(usable_memory(program.mesh)))
    while True:
        traced = Program.train.trace(program, *call)
        lowered = traced.lower()
        compiled, need = compiled_with_need(partial(program.compile, lowered))
        need = max(hosts.exchange(need))
        if compiled and (need <= usable or (fixed and need < math.inf)):
            return program, compiled, _step_flops(program, traced, lowered)
        # Twice the parts, or as many as the excess suggests, of equal size.
        excess = round(need / usable) if need < math.inf else 2
        wanted = program.micro_batches * max(2, excess)
        batch = call[-2].shape[-1] // program.mesh.size  # examples on one device
        parts = [n for n in range(wanted, batch + 1) if batch % n == 0]
        if fixed or not parts:
            size = f"{need / 2**30:.1f} GiB" if need < math.inf else "more"
            raise OutOfMemory(
                f"a training call needs {size}, with {usable / 2**30:.1f} GiB usable, "
                f"even in {program.micro_batches} micro-batches: take a smaller batch "
                "or model, or fewer seeds"
            )
        program = dataclasses.replace(program, micro_batches=parts[0])


class CallLength:
    """How many steps a call takes: after a few trials, what takes about a second.

    So a signal to stop is answered soon, however long a step takes. Counts change no
    bit of what is trained. Several hosts must take the same; the slowest one decides.
    """

    def __init__(self, most: int, is_fixed: bool):
        self._most = most
        self._steps = most if is_fixed else 1
        # The first one also warms up, and in one step dispatch may take most of the
        # time, so that each trial is as long as the one before suggests.
        self._trials = 0 if is_fixed or most == 1 else 3

    def begin(self, left: int) -> int:
        """Return the steps of the next call, of those that are left."""
        self._count, self._started = min(self._steps, left), time.monotonic()
        return self._count

    def end(self, output: jax.Array) -> None:
        """Take an output of the call; in a trial wait for it."""
        if not self._trials:
            return
        output.block_until_ready()
        seconds = max(hosts.exchange(time.monotonic() - self._started))
        fitting = int(SECONDS_PER_CALL * self._count / seconds)
        self._steps = min(max(fitting, 1), self._most)
        self._trials -= 1


def _check_record(log: Logbook, phase: Phase, before: int) -> None:
    """Check that the logbook has what the result needs of the steps so far.

    Args:
      log: of the run.
      phase: as a checkpoint has it.
      before: steps of pre-training.

    Raises:
      WorkdirError: it has not; says what to do.
    """
    needed = {(f"{phase.prefix}validation", step) for step in phase.best.step.tolist()}
    if before and not phase.prefix:
        needed.add((f"{BEFORE}validation", before))
    have = {(record["event"], record["step"]) for record in log.records()}
    if lost := sorted((step, event) for event, step in needed - have if step):
        step, event = lost[0]
        raise WorkdirError(
            f"{log.path} lacks the {event.replace('_', ' ')} of step {step:,}, which "
            "the result needs; delete the folder of the run to train it again"
        )


def _check_same_run(identity: dict[str, Any], workdir: Path) -> None:
    """Check that all hosts were started with the same command.

    Raises:
      HostError: they were not; names what differs.
    """
    remedy = (
        f"the hosts of a run need the same command; {hosts.ALONE}=1 lets each process "
        "compute alone"
    )
    hosts.check_equal(
        {**placeless(identity), "workdir": str(workdir)},
        lambda first, other: f"{', '.join(differences(first, other))}; {remedy}",
    )


def _check_same_data(dataset: Dataset) -> None:
    """Check that all hosts have the same data.

    Raises:
      HostError: they have not; names both.
    """
    hosts.check_equal(
        dataset.checksum,
        lambda first, other: (
            f"their data, here in {dataset.folder}, have checksums {first} and {other}"
        ),
    )


def _step_flops(
    program: Program, traced: jax.stages.Traced, lowered: jax.stages.Lowered
) -> dict[str, float | None]:
    """Return the operations of a step of all seeds: this project's count, and XLA's.

    XLA counts those of one device.
    """
    on_device = (lowered.cost_analysis() or {}).get("flops")
    return {
        "train_step": count_flops(traced.jaxpr),
        "xla_train_step": on_device and on_device * program.mesh.size,
    }


def _next_stop(step: int, num_steps: int, config: ConfigDict) -> int:
    """Return the next step after which the host has something to do."""
    periods = (
        config.run.log_every,
        config.train.eval_every,
        config.run.checkpoint_every,
    )
    stops = [(step // period + 1) * period for period in periods]
    return min(*stops, num_steps)


def _score(sums: Sums, row: int, step: int) -> Score:
    """Return the score of one seed, with the parameters of `step`."""
    correct, examples = float(sums.correct[row]), float(sums.weight[row])
    loss = float(sums.mean_loss()[row])
    return Score.of(round(correct), round(examples), step, loss)


def _validation_score(records: list[Record], row: int, step: int) -> Score:
    """Return the validation score of one seed at a step, from the logbook."""
    record = next(r for r in records if (r["event"], r["step"]) == ("validation", step))
    correct, examples = record["correct"][row], record["weight"][row]
    return Score.of(round(correct), round(examples), step, record["loss"][row])


def _log_validation(
    log: Logbook,
    event: str,
    step: int,
    sums: Sums,
    best: Best,
    seconds: dict[str, float],
) -> None:
    """Record a validation and print it beside the best so far."""
    accuracy, best_accuracy = sums.accuracy(), np.asarray(best.accuracy)
    log.write(
        event,
        step,
        {
            "loss": sums.mean_loss(),
            "accuracy": accuracy,
            "correct": sums.correct,
            "weight": sums.weight,
            **seconds,
        },
    )
    name = event.replace("_", " ")
    log.say(
        f"{name} at step {step}: loss {np.mean(sums.mean_loss()):.4f}"
        f"  accuracy {100 * np.mean(accuracy):.2f} %"
        f"  (best {100 * np.mean(best_accuracy):.2f} %)"
    )
