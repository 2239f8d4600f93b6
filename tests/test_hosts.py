"""Two processes that compute one run, as two hosts do."""

import os
import signal
import socket
import subprocess
import sys
import threading

import jax
import numpy as np
import pytest

from lra_fnet import hosts
from lra_fnet.checkpoint import Checkpoints
from lra_fnet.hosts import (
    ADDRESS,
    ALONE,
    COUNT,
    JAX_VARIABLES,
    NUMBER,
    LaunchError,
    StopSignals,
    launch_arguments,
)
from lra_fnet.step import make_mesh
from tiny_runs import command, environment, result_of, run, wait_for_step

RUN = {"num_layers": 1, "train__num_steps": 120, "train__eval_every": 60}
ON_CPU = {"JAX_PLATFORMS": "cpu"}  # two processes cannot share one accelerator
SECONDS = 200  # more than any of it takes; a pair that hangs fails the test


# --- What the environment says ------------------------------------------------------

STEP = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "localhost",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
    "SLURM_STEP_NUM_NODES": "2",
}
THREE = dict(zip(JAX_VARIABLES, ("first:1234", "2", "1"), strict=True))


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"},  # no step
        {"SLURM_ARRAY_TASK_ID": "3", **STEP, "SLURM_NTASKS": "1"},
        {**STEP, "SLURM_STEP_NUM_TASKS": "1"},  # an interactive step of a larger job
        {**THREE, COUNT: "1", NUMBER: "0"},
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
        ({ADDRESS: "a:1"}, f"{COUNT} and {NUMBER} must be set"),
        ({**THREE, ADDRESS: ""}, f"{ADDRESS} must be set"),
        ({**THREE, ADDRESS: "a"}, "must be host:port"),
        ({**THREE, COUNT: "two"}, "not a whole number: 'two'"),
        ({**THREE, NUMBER: "2"}, f"{NUMBER} is 2; .* from 0 to 1"),
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


# --- A process alone ----------------------------------------------------------------


def test_a_process_alone_agrees_with_itself_in_its_own_thread():
    assert hosts.is_first() and hosts.count() == 1
    assert hosts.exchange({"any": object}) == [{"any": object}]
    assert hosts.bytes_from_first(b"content") == b"content"
    assert hosts.on_first(threading.current_thread) is threading.current_thread()
    hosts.check_equal(3, lambda *_: "never")


def test_a_process_alone_prints_and_its_errors_pass(capsys):
    def never(error):
        raise AssertionError("only for several hosts")

    with pytest.raises(KeyError), hosts.joined(never):
        print("line")
        raise KeyError
    assert capsys.readouterr().out == "line\n"


def test_the_first_signal_is_kept_and_the_second_acts():
    # A shell that starts the tests in the background makes them ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with StopSignals() as signals:
        assert signals.received is None
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_half_an_environment_ends_a_run_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv(ADDRESS, "localhost:1234")
    done = run(command(tmp_path / "run"), tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: JAX_NUM_PROCESSES and JAX_PROCESS_ID must be")
    assert len(done.stderr.splitlines()) == 1


# --- Two processes ------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return str(listener.getsockname()[1])


def start_pair(arguments, data, by_slurm=False):
    """Start two processes, each with a device, that are to join."""
    port = free_port()
    pair = []
    for number in ("0", "1"):
        join = {ADDRESS: f"localhost:{port}", COUNT: "2", NUMBER: number}
        if by_slurm:
            join = STEP | {"SLURM_PROCID": number, "JAX_COORDINATOR_PORT": port}
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
    """A run of two that one signal stops, and that goes on as a SLURM step."""
    workdir = tmp_path_factory.mktemp("two") / "run"
    arguments = command(workdir, **RUN)
    pair = start_pair(arguments, data)
    wait_for_step(workdir, 10)
    pair[1].terminate()
    stopped = ends(pair)
    saved = Checkpoints(workdir).steps()
    return workdir, stopped, saved, ends(start_pair(arguments, data, by_slurm=True))


@pytest.mark.slow
def test_a_signal_to_one_of_two_stops_both_at_the_same_step(of_two_processes):
    _, (statuses, outputs), saved, _ = of_two_processes
    assert statuses == [128 + signal.SIGTERM] * 2, outputs
    assert 10 <= saved[0] < RUN["train__num_steps"]
    for output in outputs:
        assert f"stopped at step {saved[0]:,}; the checkpoint is saved" in output


@pytest.mark.slow
def test_two_that_were_stopped_go_on_and_the_first_alone_prints(of_two_processes):
    _, _, saved, (statuses, outputs) = of_two_processes
    assert statuses == [0, 0], outputs
    assert f"resuming from step {saved[0]}" in outputs[0]
    assert "2 hosts share each batch" in outputs[0] and "fnet (this run)" in outputs[0]
    assert outputs[1] == ""


@pytest.mark.slow
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


# What hosts tell each other; at last the second one fails while the first waits for it.
PROGRAM = """
import sys, time
from pathlib import Path
from lra_fnet import hosts, train
from lra_fnet.__main__ import tell
from lra_fnet.data import Dataset

hosts.FAREWELL_SECONDS, hosts.POLL_SECONDS = 1.0, 0.2

def attempt(function, *arguments):
    try:
        print(function(*arguments), file=sys.stderr)
    except Exception as error:
        print(type(error).__name__, error, file=sys.stderr)

with hosts.joined(tell):
    second = int(not hosts.is_first())
    attempt(hosts.exchange, ["\u00e9" * second, second])
    attempt(hosts.bytes_from_first, b"" if second else b"a\\0\\xff")
    attempt(hosts.together, lambda: time.sleep(second))
    attempt(hosts.on_first, lambda: 7)
    attempt(hosts.together, lambda: 1 / 0 if second else time.sleep(1_000))
    attempt(train._check_same_run, {"seed": second, "data": {}}, Path("run"))
    dataset = Dataset({}, {"checksum": "ab"[second]}, Path("data"))
    attempt(train._check_same_data, dataset)
    if second:
        raise ValueError("no more")
    hosts.exchange("what the second never answers")
"""


@pytest.fixture(scope="module")
def told(data):
    """What two small programs print, a list of lines for each."""
    statuses, outputs = ends(start_pair([sys.executable, "-c", PROGRAM], data))
    assert statuses == [1, 1], outputs
    return [output.splitlines() for output in outputs]


@pytest.mark.slow
def test_hosts_exchange_values_and_wait_for_the_slowest(told):
    same = ["[['', 0], ['\u00e9', 1]]", "b'a\\x00\\xff'", "None"]
    for lines, of_first in zip(told, ("7", "None"), strict=True):
        assert lines[:4] == [*same, of_first]


@pytest.mark.slow
def test_what_fails_on_one_host_is_told_on_both_while_the_other_works(told):
    reason = "ZeroDivisionError: division by zero"
    assert told[0][4] == f"HostError host 1 failed: {reason}"
    assert told[1][4] == "ZeroDivisionError division by zero"


@pytest.mark.slow
def test_hosts_with_different_configs_or_data_say_what_differs(told):
    for lines in told:
        assert lines[5].startswith("HostError hosts 0 and 1 differ: seed: 0 -> 1")
        assert "LRA_ALONE=1 lets each process compute alone" in lines[5]
        assert lines[6].startswith(
            "HostError hosts 0 and 1 differ: their data, here in"
        )
        assert lines[6].endswith("have checksums a and b")


@pytest.mark.slow
def test_a_host_that_fails_is_not_waited_for_and_each_says_why_in_one_line(told):
    first, second = told
    assert second[7:] == ["error: no more"]
    assert first[7].startswith("error: another host has ended or cannot be reached: ")
    assert len(first) == 8
