"""Two processes that compute one run, as two hosts do."""

import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from lra_fnet import hosts
from lra_fnet.checkpoint import Checkpoints
from lra_fnet.hosts import ALONE, BY_HAND, LaunchError, launch_arguments
from lra_fnet.step import make_mesh
from tiny_runs import command, environment, result_of, run, wait_for_step

# One process for all of them: they share the data and a finished run.
pytestmark = pytest.mark.xdist_group("hosts")

RUN = {"num_layers": 1, "train__num_steps": 120, "train__eval_every": 60}
ON_CPU = {"JAX_PLATFORMS": "cpu"}  # two processes cannot share one accelerator
SECONDS = 120  # more than any of it takes; a pair that hangs fails the test


# --- What the environment says ------------------------------------------------------

STEP = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "localhost",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NUM_NODES": "2",
}
THREE = dict(zip(BY_HAND, ("first:1234", "2", "1"), strict=True))


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"},  # no step
        {"SLURM_ARRAY_TASK_ID": "3", **STEP, "SLURM_NTASKS": "1"},
        {**STEP, "SLURM_STEP_NUM_TASKS": "1"},  # an interactive step of a larger job
        {**THREE, BY_HAND[1]: "1", BY_HAND[2]: "0"},
        {"TPU_WORKER_HOSTNAMES": "localhost"},
        {"TPU_WORKER_HOSTNAMES": "a,b", "JAX_PLATFORMS": "cpu"},
        {"TPU_ML_PLATFORM": "JAX", "TPU_SKIP_MDS_QUERY": "1"},
        {**STEP, **THREE, ALONE: "1"},
    ],
)
def test_one_process_computes_alone(variables):
    assert launch_arguments(variables) is None


def test_the_environment_says_how_several_processes_join():
    assert launch_arguments(THREE) == {
        "coordinator_address": "first:1234",
        "num_processes": 2,
        "process_id": 1,
        "cluster_detection_method": "deactivate",
    }
    assert launch_arguments({"TPU_WORKER_HOSTNAMES": "a,b"}) == {}
    assert launch_arguments({"TPU_ML_PLATFORM": "JAX"}) == {}


def test_a_slurm_task_takes_all_accelerators_of_a_node_that_it_has_to_itself():
    on_two_nodes, on_one = STEP, {**STEP, "SLURM_STEP_NUM_NODES": "1"}
    chosen = {**STEP, "JAX_LOCAL_DEVICE_IDS": "0,1"}
    assert launch_arguments(on_two_nodes)["local_device_ids"] == []
    for step in (on_one, chosen):
        assert launch_arguments(step) == {"cluster_detection_method": "slurm"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({BY_HAND[0]: "a:1"}, f"{BY_HAND[1]} and {BY_HAND[2]} must be set"),
        ({**THREE, BY_HAND[0]: ""}, f"{BY_HAND[0]} must be set"),
        ({**THREE, BY_HAND[0]: "a"}, "as host:port"),
        ({**THREE, BY_HAND[1]: "two"}, "'two'; it must be a whole number"),
        ({**THREE, BY_HAND[2]: "2"}, f"{BY_HAND[2]} is 2; .* from 0 to 1"),
        ({k: v for k, v in STEP.items() if "PROCID" not in k}, "SLURM_PROCID must be"),
    ],
)
def test_half_an_environment_is_a_clear_error(variables, expected):
    with pytest.raises(LaunchError, match=expected):
        launch_arguments(variables)


def test_hosts_that_cannot_share_a_batch_are_told(monkeypatch):
    class Device:
        def __init__(self, host):
            self.process_index = host

    monkeypatch.setattr(jax, "devices", lambda: [Device(0), Device(1)])
    with pytest.raises(ValueError, match="2 hosts cannot share 7 examples equally"):
        make_mesh(7)


# --- Two processes ------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return str(listener.getsockname()[1])


def start_pair(commands, data, by_slurm=False):
    """Start two processes, each with a device, that are to join."""
    port = free_port()
    pair = []
    for number, arguments in enumerate(commands):
        join = dict(zip(BY_HAND, (f"localhost:{port}", "2", str(number)), strict=True))
        if by_slurm:
            join = STEP | {"SLURM_PROCID": str(number), "JAX_COORDINATOR_PORT": port}
        process = subprocess.Popen(
            arguments,
            env=environment(data) | join | ON_CPU | {"JAX_NUM_CPU_DEVICES": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        pair.append(process)
    return pair


def ends(pair):
    """Return exit statuses and outputs, without the line of the network library."""
    outputs = []
    for process in pair:
        output, _ = process.communicate(timeout=SECONDS)
        lines = output.splitlines(keepends=True)
        outputs.append("".join(line for line in lines if "[Gloo]" not in line))
    return [process.returncode for process in pair], outputs


@pytest.fixture(scope="module")
def of_one_process(tmp_path_factory, data):
    """A run on the two devices of one process."""
    workdir = tmp_path_factory.mktemp("one") / "run"
    program = environment(data) | ON_CPU | {"JAX_NUM_CPU_DEVICES": "2"}
    arguments = command(workdir, **RUN)
    subprocess.run(
        arguments, env=program, check=True, capture_output=True, timeout=SECONDS
    )
    return workdir


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory, data):
    """A run of two that is stopped at one, goes on, is killed, and goes on."""
    workdir = tmp_path_factory.mktemp("two") / "run"
    commands = [command(workdir, **RUN)] * 2

    pair = start_pair(commands, data)
    wait_for_step(workdir, 10)
    pair[1].terminate()
    stopped = ends(pair)
    saved = Checkpoints(workdir).steps()

    pair = start_pair(commands, data, by_slurm=True)
    wait_for_step(workdir, saved[0] + 30)
    for process in pair:
        process.kill()
    killed = ends(pair)
    assert not (workdir / "result.json").exists()

    return workdir, stopped, saved, killed, ends(start_pair(commands, data))


def test_a_signal_to_one_of_two_stops_both_at_the_same_step(of_two_processes):
    _, (statuses, outputs), saved, *_ = of_two_processes
    assert statuses == [128 + signal.SIGTERM] * 2
    for output in outputs:
        assert f"stopped at step {saved[0]:,}; the checkpoint is saved" in output


def test_two_that_were_killed_go_on_together(of_two_processes):
    *_, (killed, _), (statuses, outputs) = of_two_processes
    assert killed == [-signal.SIGKILL] * 2
    assert statuses == [0, 0], outputs
    assert "going on from step" in outputs[0]


def test_the_first_of_two_alone_prints(of_two_processes):
    *_, (_, outputs) = of_two_processes
    assert "2 hosts share each batch" in outputs[0] and "fnet (this run)" in outputs[0]
    assert outputs[1] == ""


def test_two_processes_with_a_device_each_equal_one_with_two(
    of_one_process, of_two_processes
):
    one, two = of_one_process, of_two_processes[0]
    first, second = result_of(one), result_of(two)
    assert (first["device"]["count"], first["device"]["hosts"]) == (2, 1)
    assert (second["device"]["count"], second["device"]["hosts"]) == (2, 2)
    for name in ("test_predictions.npy", "test_correct.npy"):
        np.testing.assert_array_equal(np.load(one / name), np.load(two / name))
    for arrays, others in zip(parameters(one), parameters(two), strict=True):
        np.testing.assert_allclose(arrays, others, atol=1e-5)
    losses, others = (
        [point["loss"] for point in r["curves"]["validation"]] for r in (first, second)
    )
    np.testing.assert_allclose(losses, others, rtol=1e-5)


def parameters(workdir):
    """Return the arrays of the last checkpoint of a run."""
    from flax.serialization import msgpack_restore

    from lra_fnet.checkpoint import DIGEST_BYTES, SUFFIX

    folder, step = workdir / "checkpoints", Checkpoints(workdir).steps()[0]
    payload = (folder / f"{step}{SUFFIX}").read_bytes()[DIGEST_BYTES:]
    return jax.tree.leaves(msgpack_restore(payload))


def test_two_with_different_commands_say_what_differs(tmp_path, data):
    commands = [command(tmp_path / "run", seed=seed) for seed in (0, 1)]
    statuses, outputs = ends(start_pair(commands, data))
    assert statuses == [1, 1]
    for output in outputs:
        assert "error: hosts 0 and 1 differ: seed: 0 -> 1" in output
        assert "Traceback" not in output


def test_half_an_environment_ends_a_run_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv(BY_HAND[0], "localhost:1234")
    done = run(command(tmp_path / "run"), tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: JAX_NUM_PROCESSES")
    assert len(done.stderr.splitlines()) == 1


# Says what it learns of both; then one fails while the other waits for it.
PROGRAM = """
import sys
from lra_fnet import hosts

hosts.FAREWELL_MS = 1_000
with hosts.joined():
    number = hosts.exchange("number", int(hosts.is_first()))
    print(number, hosts.from_first("first", number[0]), file=sys.stderr)
    if sys.argv[1] == "known":
        hosts.on_first("failure", lambda: 1 / 0)
    if hosts.is_first():
        sys.exit("error: no more")
    hosts.exchange("what the first never says", 0)
"""


def two_small_programs(data, *arguments):
    """Start two programs that compute nothing."""
    program = [sys.executable, "-c", PROGRAM, *arguments]
    return start_pair([program] * 2, data)


def test_what_fails_on_the_first_is_told_on_both(data):
    statuses, (first, second) = ends(two_small_programs(data, "known"))
    assert statuses == [1, 1]
    assert first.startswith("[1, 0] 1\n") and second.startswith("[1, 0] 1\n")
    assert "ZeroDivisionError: division by zero" in first
    assert "error: host 0 failed: ZeroDivisionError: division by zero" in second


def test_one_that_fails_is_not_waited_for(data):
    started = time.monotonic()
    statuses, (first, _) = ends(two_small_programs(data, "unknown"))
    assert statuses[0] == 1 and statuses[1] != 0
    assert "error: no more" in first
    assert time.monotonic() - started < SECONDS / 2


def test_a_process_alone_agrees_with_itself():
    assert hosts.is_first() and hosts.count() == 1
    assert hosts.exchange("name", 3) == [3]
    assert hosts.together("name", lambda: 4) == hosts.on_first("name", lambda: 4) == 4
    hosts.check_equal("name", 3, lambda *_: "never")
