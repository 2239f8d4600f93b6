"""Fill a table: run what is missing, one job after the other, whatever happens.

Each job is a process of its own, the command that one would type. Two locks guard it:
the run locks its workdir, and the table that started it holds a claim beside that. The
system releases both when their holders end in any way. So several tables may share a
folder, and when a table is killed its run goes on, and other tables leave it alone.
"""

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

from lra_fnet.hosts import ALONE, LaunchError, StopSignals, launch_arguments
from lra_fnet.logbook import last_step
from lra_fnet.result import FAILURE_FILE, make_failure
from lra_fnet.schema import Failure, Result
from lra_fnet.table.jobs import (
    OUTPUT_FILE,
    RESULTS,
    RUNS,
    Job,
    State,
    Status,
    failed_status,
    find_result,
    find_status,
    listing,
    read_failure,
    read_results,
    select_jobs,
    summary,
)
from lra_fnet.table.needs import NOTE, needs_of
from lra_fnet.workdir import FolderLock, FolderLocked

POLL_SECONDS = 0.5  # between looks at the process and at the signal to stop
WAIT_SECONDS = 2.0  # between looks at jobs that other processes run


def fill_table(arguments: argparse.Namespace) -> int:
    """Run the jobs of a table that have no result, or list them.

    Returns the exit status: 0 if every job has a result, 1 if some have none, 128 + the
    number of the signal that interrupted it.

    Raises:
      ValueError: the arguments ask for something that does not exist or cannot run.
    """
    check_alone(os.environ)
    jobs, results = select_jobs(arguments), read_results(RUNS, RESULTS)
    statuses = {job: find_status(job, results, arguments.retry) for job in jobs}
    if arguments.dry:
        needs = needs_of(jobs)
        note = [NOTE, ""] if needs else []
        print(listing(statuses, needs), "", *note, *summary(statuses), sep="\n")
        return 0
    with StopSignals() as stop:
        Table(statuses, stop).run()
    if stop.received:
        print("stopped; repeat the command to resume", flush=True)
        return 128 + stop.received
    return int(any(status.state is not State.DONE for status in statuses.values()))


def check_alone(environment: Mapping[str, str]) -> None:
    """Check that the runs of this table would not join those of another process.

    Raises:
      ValueError: the environment describes several processes that share one run.
    """
    try:
        shares_a_run = bool(launch_arguments(environment))
    except LaunchError as error:
        raise ValueError(str(error)) from error
    if shares_a_run:
        raise ValueError(
            "the environment says that this process shares one run with others, but "
            f"each process of a table starts runs of its own; set {ALONE}=1, and the "
            "processes share the jobs of the table"
        )


class Table:
    """The jobs of a table while they run.

    Attributes:
      statuses: of the jobs; they change as jobs end.
    """

    def __init__(self, statuses: dict[Job, Status], stop: StopSignals):
        self.statuses = statuses
        self._stop = stop
        self._running_elsewhere: set[Job] = set()
        self._started = time.time()
        # A bar with an estimate on a terminal; elsewhere there are lines alone.
        self._bar = tqdm(
            total=len(statuses),
            initial=len(statuses) - len(self._to_run()),
            unit="run",
            file=sys.stdout,
            disable=None,
            dynamic_ncols=True,
            leave=False,
        )

    def run(self) -> None:
        """Run all jobs that are to run, until a signal asks to stop.

        Those that other processes run are looked at again until they end.
        """
        with self._bar:
            self._say(*summary(self.statuses))
            while self._to_run() and not self._stop.received:
                for job in self._to_run():
                    self._visit(job)
                if self._running_elsewhere.issuperset(self._to_run()):
                    self._wait()
            self._say(*summary(self.statuses))

    def _to_run(self) -> list[Job]:
        return [
            j for j, status in self.statuses.items() if status.state is State.TO_RUN
        ]

    def _wait(self) -> None:
        if self._to_run() and not self._stop.received:
            self._bar.refresh()
            time.sleep(WAIT_SECONDS)

    def _visit(self, job: Job) -> None:
        """Bring a job to its end, unless another process has it."""
        if self._stop.received or self.statuses[job].state is not State.TO_RUN:
            return
        try:
            with claim(job):
                if not self._ended_meanwhile(job):
                    check_no_run(job)
                    self._run(job)
        except FolderLocked as holder:
            if job not in self._running_elsewhere:
                self._running_elsewhere.add(job)
                self._say(
                    f"{job.name}: process {holder} runs it; looked at again later"
                )

    def _ended_meanwhile(self, job: Job) -> bool:
        """Take over how a job ended in another table since this one began."""
        result, failure = new_result(job), read_failure(job)
        if result:
            self._end_done(job, result, "by another process")
        elif failure and (failure.time or 0) >= self._started:
            self._end_failed(job, failure)
        return self.statuses[job].state is not State.TO_RUN

    def _run(self, job: Job) -> None:
        """Run a job in a process of its own, and record how it ended."""
        step, started = last_step(job.workdir), time.monotonic()
        does = f"continues after step {step:,}" if step else "starts"
        self._say(f"{job.name}: {does}, in {job.workdir}")
        (job.workdir / FAILURE_FILE).unlink(missing_ok=True)
        exit_status = self._wait_for(job, start(job))
        result = new_result(job)
        if result:
            took = tqdm.format_interval(round(time.monotonic() - started))
            self._end_done(job, result, f"in {took}")
        elif not self._stop.received:
            check_no_run(job)  # someone may have been quicker by a moment
            self._end_failed(job, read_failure(job) or write_failure(job, exit_status))

    def _wait_for(self, job: Job, process: subprocess.Popen[bytes]) -> int:
        """Wait for a run, and hand it the signal to stop; return its exit status."""
        is_told = False
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout=POLL_SECONDS)
                self._show_step(job)
                if self._stop.received and not is_told:
                    process.send_signal(self._stop.received)
                    is_told = True
        except BaseException:  # such as a second Ctrl-C: leave no process behind
            process.terminate()
            process.wait()
            raise

    def _show_step(self, job: Job) -> None:
        if not self._bar.disable:
            step = f"step {last_step(job.workdir):,} of {job.num_steps:,}"
            self._bar.set_description_str(f"{job.name}, {step}")

    def _end_done(self, job: Job, result: Result, how: str) -> None:
        accuracy = 100 * result.test.correct / result.test.examples
        self._end(Status(State.DONE), job)
        self._say(f"{self._count()} {job.name}: {accuracy:.2f} % {how}")

    def _end_failed(self, job: Job, failure: Failure) -> None:
        """End a job; if its task has no data, all jobs of the task."""
        status = failed_status(failure)
        if status.state is State.NO_DATA:
            self._end(status, *(j for j in self._to_run() if j.task == job.task))
            self._say(f"{job.task}: no data, its runs are left out; see the end")
        else:
            self._end(status, job)
            failed = f"FAILED: {failure.reason}; see {job.output}"
            self._say(f"{self._count()} {job.name}: {failed}")

    def _end(self, status: Status, *jobs: Job) -> None:
        for job in jobs:
            self.statuses[job] = status
        self._bar.update(len(jobs))

    def _count(self) -> str:
        """Return how many jobs have ended, of how many."""
        total = len(self.statuses)
        return f"[{total - len(self._to_run())}/{total}]"

    def _say(self, *lines: str) -> None:
        """Print lines, above the bar if there is one."""
        for line in lines:
            self._bar.write(line, file=sys.stdout)
        sys.stdout.flush()


# ---------------------------------------------------------------------------
# One job


def claim(job: Job) -> FolderLock:
    """Return the lock of the table that runs a job; the run itself has another."""
    return FolderLock(job.workdir.with_name(f"{job.workdir.name}.table"))


def check_no_run(job: Job) -> None:
    """Check that no process runs a job, whoever started it.

    Raises:
      FolderLocked: one does.
    """
    with FolderLock(job.workdir):
        pass


def new_result(job: Job) -> Result | None:
    """Return the result that the workdir of a job holds by now."""
    return find_result(job, read_results(job.workdir))


def start(job: Job) -> subprocess.Popen[bytes]:
    """Start the run of a job; what it prints goes to `output.log`.

    It gets a process group of its own, so that a Ctrl-C reaches the table alone, which
    hands it on once: at a second signal a run stops without saving a checkpoint.
    """
    job.workdir.mkdir(parents=True, exist_ok=True)
    with job.output.open("ab") as log:
        log.write(f"$ {shlex.join(job.command)}\n".encode())
        log.flush()
        return subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )


def write_failure(job: Job, exit_status: int) -> Failure:
    """Record the failure of a run that could not do so itself."""
    step = last_step(job.workdir)
    failure = make_failure(job.config, *explain(exit_status), step)
    with contextlib.suppress(OSError):  # a full disk fails runs, and may fail this too
        failure.write(job.workdir / FAILURE_FILE)
    return failure


def explain(exit_status: int) -> tuple[str, str]:
    """Return kind and reason of a failure that only its exit status tells.

    >>> explain(-9)[1]
    'killed by signal 9 (SIGKILL), as systems do that run out of memory'
    >>> explain(3)
    ('error', 'exit status 3; see output.log')
    """
    # A run that handles a signal ends with 128 + its number, as in a shell.
    number = -exit_status if exit_status < 0 else exit_status - 128
    if number not in set(signal.Signals):
        return "error", f"exit status {exit_status}; see {OUTPUT_FILE}"
    why = ", as systems do that run out of memory" if number == signal.SIGKILL else ""
    return "killed", f"killed by signal {number} ({signal.Signals(number).name}){why}"
