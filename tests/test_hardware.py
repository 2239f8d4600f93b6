"""Devices that are asked, numbers that stay, caches that can be written."""

import os
import sys
import zlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from lra_fnet import __main__ as command_line
from lra_fnet import hardware
from lra_fnet.config import make_program, task_facts
from lra_fnet.flops import inner_programs
from lra_fnet.hardware import (
    CHECKED,
    NUMERICS,
    cache_folder,
    drop_torn_entries,
    fastest_options,
    fix_numerics,
    processor_kind,
    processor_name,
    repeatable_options,
)
from lra_fnet.mixers import _fourier, mixer_class, transformer, transformer_rope
from lra_fnet.step import Program, make_mesh
from tiny_runs import command, run, tiny_config

# --- Devices ------------------------------------------------------------------------


def test_a_processor_has_one_name():
    assert processor_kind() == processor_kind()
    assert len(processor_kind()) == 12
    assert processor_name()


class Accelerator:
    platform = "gpu"
    process_index = 0
    device_kind = "NVIDIA H100 80GB HBM3"
    compute_capability = "9.0"

    def __init__(self, statistics=None):
        self.statistics = statistics

    def memory_stats(self):
        if self.statistics is None:  # as devices of a topology
            raise jax.errors.JaxRuntimeError("INVALID_ARGUMENT: not addressable")
        return self.statistics


ABSENT = Mesh(np.array([Accelerator()]), ("data",))


def test_the_devices_of_the_mesh_decide_not_those_of_this_process():
    cpus, accelerators = make_mesh(8), ABSENT
    for mesh, examples, steps, batches in ((cpus, 2, 1, 1), (accelerators, 8, 100, 10)):
        assert hardware.examples_at_once(mesh, 8) == examples
        assert hardware.default_steps_per_call(mesh) == steps
        assert hardware.default_batches_per_call(mesh) == batches
    assert fastest_options(accelerators) == ()


def test_the_memory_of_a_device_is_what_it_says_else_what_is_known_of_its_kind():
    unknown = Accelerator({})
    unknown.device_kind = "abacus"
    assert hardware.memory_limit(Accelerator({"bytes_limit": 7})) == 7
    assert hardware.memory_limit(Accelerator()) == pytest.approx(59.3 * 2**30, rel=0.01)
    assert hardware.memory_limit(unknown) == 0


def primitives(jaxpr):
    """Return the names of all operations of a program."""
    names = {equation.primitive.name for equation in jaxpr.eqns}
    inner = (p for equation in jaxpr.eqns for p in inner_programs(equation))
    return names.union(*(primitives(getattr(p, "jaxpr", p)) for p in inner))


def traced(mixer, dtype="float32"):
    x, mask = jnp.ones((2, 64, 16), dtype), jnp.ones((2, 64), bool)
    mixer = mixer_class(mixer)(num_heads=2)
    variables = mixer.init(jax.random.key(0), x, mask, train=False)
    apply = jax.make_jaxpr(partial(mixer.apply, train=False))
    return primitives(apply(variables, x, mask).jaxpr)


def test_attention_is_that_of_the_devices_of_the_mesh():
    """On CPUs a head at a time, unless it is padding; elsewhere all, without asking."""
    for mixer in ("transformer", "transformer_rope"):
        with hardware.tracing_for(ABSENT):
            assert "cond" not in traced(mixer)
        assert "cond" in traced(mixer)
    with hardware.tracing_for(ABSENT):
        assert transformer_rope._has_fused_attention(hardware.target())
    assert not transformer_rope._has_fused_attention(hardware.target())


def test_the_fourier_algorithm_is_that_of_the_devices_of_the_mesh(monkeypatch):
    row = {"length": 64, "width": 16, "dtype": "float32", "algorithm": "matrix"}
    kind = ABSENT.devices.flat[0].device_kind
    table = {kind: {"rows": [row]}, "cpu": {"rows": []}}
    monkeypatch.setattr(_fourier, "choices", lambda: table)
    with hardware.tracing_for(ABSENT):
        assert _fourier.chosen_algorithm(64, 16, "float32") == "matrix"
    assert _fourier.chosen_algorithm(64, 16, "float32") == "real_fft"


def test_what_a_program_traces_asks_the_mesh_of_the_program(monkeypatch):
    config = tiny_config(mixer="transformer", train__batch_size=2)
    task = task_facts(config)
    device, asked = jax.devices()[1], set()
    monkeypatch.setattr(
        transformer, "target", lambda: asked.add(hardware.target()) or device
    )
    program = make_program(config, task, [device])
    inputs = jax.ShapeDtypeStruct((4, task.max_length), "uint8")
    state = jax.eval_shape(program.init, jnp.array([0]), inputs)
    labels, indices = jnp.zeros(4, int), jnp.zeros((1, 1, 2), int)
    Program.train.trace(program, state, inputs, labels, indices, 1)
    assert program.mesh.devices.tolist() == [device]
    assert asked == {device}


def test_only_options_that_this_xla_knows_are_given_to_it():
    device, mesh = jax.devices()[0], make_mesh(2)
    assert not hardware.is_known(device, "xla_cpu_no_such_option", "1")
    doubled = jax.jit(lambda x: 2 * x).lower(1.0)
    options = dict(fastest_options(mesh))
    assert doubled.compile(compiler_options=options)(3.0) == 6.0


def test_transforms_give_the_same_bits_whichever_thread_computes_them():
    """In a loop and beside another device, as in a step."""
    mesh, batch = make_mesh(2), P("data")
    x = jax.random.normal(jax.random.key(0), (16, 2000, 64))
    transforms = jax.shard_map(
        partial(jax.lax.map, jnp.fft.rfft2),
        mesh=mesh,
        in_specs=batch,
        out_specs=batch,
        check_vma=False,
    )
    lowered = jax.jit(transforms).lower(x)
    options = dict(repeatable_options(mesh, lowered))
    compiled = lowered.compile(compiler_options=options)
    first = np.asarray(compiled(x))
    for _ in range(60):
        np.testing.assert_array_equal(np.asarray(compiled(x)), first)


def test_programs_without_a_transform_keep_several_threads():
    lowered = jax.jit(jnp.square).lower(1.0)
    assert repeatable_options(make_mesh(2), lowered) == ()


def test_a_platform_that_is_absent_ends_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    done = run(command(tmp_path / "run"), tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: JAX has no platform 'cuda' here; have: cpu")
    assert len(done.stderr.splitlines()) == 1


# --- Numbers ------------------------------------------------------------------------

# Of key 7, as this program has always drawn them.
BITS = [2895194379, 4185947648, 1300703658]
OTHERS = {
    "jax_default_matmul_precision": "float32",
    "jax_default_prng_impl": "rbg",
    "jax_numpy_dtype_promotion": "strict",
    "jax_random_seed_offset": 3,
}


def other(name):
    """Return another value of an option than the one that results are made with."""
    return OTHERS.get(name, not NUMERICS[name])


@pytest.fixture
def options():
    """Put JAX's options back afterwards."""
    before = {name: jax.config.values[name] for name in NUMERICS}
    yield jax.config
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.parametrize("name", NUMERICS)
def test_a_variable_that_would_change_numbers_is_refused(name, options, monkeypatch):
    options.update(name, other(name))
    monkeypatch.setenv(name.upper(), str(other(name)))
    with pytest.raises(ValueError, match=f"{name.upper()}={other(name)} would change"):
        fix_numerics()


def test_numbers_do_not_depend_on_what_a_program_has_set_before(options):
    for name in NUMERICS:
        options.update(name, other(name))
    fix_numerics()
    key = jax.random.key(7)
    assert str(jax.random.key_impl(key)) == "threefry2x32"
    bits = jax.random.bits(key, (3,)).tolist()
    assert bits == BITS
    assert jax.numpy.ones(1).dtype == "float32"


def test_what_the_environment_asks_for_is_refused_before_any_work(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("JAX_DEFAULT_PRNG_IMPL", "rbg")
    program = "from lra_fnet.hardware import set_up; set_up()"
    done = run([sys.executable, "-c", program], tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    assert "ValueError: JAX_DEFAULT_PRNG_IMPL=rbg would change" in done.stderr
    assert not list(tmp_path.iterdir())


# --- Caches -------------------------------------------------------------------------


def test_a_cache_lies_here_else_at_home_else_in_a_temporary_folder(
    tmp_path, monkeypatch
):
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    assert cache_folder("jax") == here / ".cache" / "jax"
    (here / ".cache" / "jax").rmdir()
    (here / ".cache" / "jax").touch()  # a file: no folder can be made there
    assert cache_folder("jax") == home / "lra_fnet" / "jax"
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / ".cache" / "jax"))
    temporary = cache_folder("jax")
    assert temporary.is_dir() and tmp_path not in temporary.parents


def test_numba_is_given_a_folder_where_the_code_cannot_be_written(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    command_line.prepare_caches()
    assert "NUMBA_CACHE_DIR" not in os.environ
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    command_line.prepare_caches()
    assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / ".cache" / "numba")


def test_a_cache_that_was_named_and_cannot_be_written_is_no_error(
    tmp_path, monkeypatch
):
    file = tmp_path / "file"
    file.touch()
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(file / "jax"))
    try:
        hardware.keep_compiled_programs()
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_a_torn_entry_is_dropped_and_whole_ones_stay(tmp_path):
    whole = zlib.compress(b"program" * 1_000)
    (tmp_path / "whole-cache").write_bytes(whole)
    (tmp_path / "torn-cache").write_bytes(whole[:-5])
    (tmp_path / "empty-cache").write_bytes(b"")
    (tmp_path / "other-cache").write_bytes(b"\x28\xb5\x2f\xfd, by zstandard")
    drop_torn_entries(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"whole-cache", "other-cache", CHECKED}


def test_entries_that_were_found_whole_are_not_read_again(tmp_path):
    drop_torn_entries(tmp_path)
    torn = tmp_path / "torn-cache"
    torn.write_bytes(b"\x78")
    before = (tmp_path / CHECKED).stat().st_mtime - 60
    os.utime(torn, (before, before))
    drop_torn_entries(tmp_path)
    assert torn.exists()
