"""The machine: devices and memory, the process, the compiler, caches."""

import atexit
import contextlib
import ctypes
import functools
import hashlib
import math
import os
import shutil
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import jax
import jax.extend.backend
from jax.sharding import Mesh, SingleDeviceSharding
from jax.stages import Compiled, Lowered

# -- Devices and memory ----------------------------------------------------------------


# Calls dispatched beyond the one that computes: enough to keep a device busy, few
# enough that a stop signal is answered soon.
CALLS_AHEAD = 2


# What a program may use of devices that cannot be asked, in bytes, by kind: those of
# `jax.experimental.topologies`, which a program is compiled for without having one.
# TPUs: what XLA says is free when it refuses a program; a v4 is two devices there, one
# a core. NVIDIA: what JAX takes of the card's memory, three quarters.
MEMORY = {
    "NVIDIA H100 80GB HBM3": int(0.75 * 84_929_347_584),
    "TPU v4": int(15.25 * 2**30),
    "TPU v5 lite": int(15.75 * 2**30),
    "TPU v5": int(95.74 * 2**30),
    "TPU v6 lite": int(31.25 * 2**30),
}

_device: ContextVar[Any] = ContextVar("device", default=None)


class OutOfMemory(Exception):
    """A computation does not fit into the memory of its devices."""


@contextlib.contextmanager
def tracing_for(mesh: Mesh) -> Iterator[None]:
    """Have what is traced here choose by the devices of a mesh; see `target`."""
    token = _device.set(mesh.devices.flat[0])
    try:
        yield
    finally:
        _device.reset(token)


def target() -> Any:
    """Return a device of the kind that will run what is being traced.

    That of the mesh, which may be absent here; outside a program, JAX's first one.
    """
    return _device.get() or jax.devices()[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error is the allocator's, which has no type of its own."""
    return isinstance(error, OutOfMemory) or (
        isinstance(error, jax.errors.JaxRuntimeError)
        and "RESOURCE_EXHAUSTED" in str(error)
    )


def first_device() -> jax.Device:
    """Return the first device of the platform that JAX has, or was told to take.

    Raises:
      ValueError: it has no such platform here; names those it has.
    """
    try:
        return jax.devices()[0]
    except (AssertionError, RuntimeError) as error:
        asked = jax.config.values["jax_platforms"]
        if not asked:
            raise
        jax.config.update("jax_platforms", None)
        have = ", ".join(jax.extend.backend.backends())
        reason = f" ({error})" if str(error) else "; change JAX_PLATFORMS"
        raise ValueError(
            f"JAX has no platform {asked!r} here; have: {have}{reason}"
        ) from error


def describe_device(mesh: Mesh) -> dict[str, Any]:
    """Return platform, kind and number of the devices of a mesh, and of their hosts.

    The CPU cores are those of this host.
    """
    device = mesh.devices.flat[0]
    return {
        "platform": device.platform,
        "kind": processor_name() if is_cpu(mesh) else device.device_kind,
        "count": mesh.size,
        "hosts": len({device.process_index for device in mesh.devices.flat}),
        "cpu_cores": len(os.sched_getaffinity(0)),
        **({"xla_flags": xla_flags()} if xla_flags() else {}),
    }


def is_cpu(mesh: Mesh) -> bool:
    """Tell whether the devices of a mesh are CPUs."""
    return mesh.devices.flat[0].platform == "cpu"


def peak_memory(compiled: Compiled) -> dict[str, Any]:
    """Return the peak memory of one device in bytes, and how it was found.

    An accelerator's allocator knows its peak, of all that the process did. A CPU has no
    such allocator, so there it is the compiler's figure for one training call:
    arguments, results, temporaries. Reports do not compare the two.
    """
    sharding = jax.tree.leaves(compiled.output_shardings)[0]
    statistics = next(iter(sharding.addressable_devices)).memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        return {"bytes": statistics["peak_bytes_in_use"], "method": "allocator peak"}
    return {"bytes": call_memory(compiled), "method": "compiled memory analysis"}


def call_memory(compiled: Compiled) -> int:
    """Return the bytes one device needs for a call: arguments, results, temporaries."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return 0
    return (
        analysis.argument_size_in_bytes
        + analysis.output_size_in_bytes
        + analysis.temp_size_in_bytes
        - analysis.alias_size_in_bytes
    )


def compiled_with_need(
    compile_call: Callable[[], Compiled],
) -> tuple[Compiled | None, float]:
    """Return a compiled call and the bytes it needs; None and inf where XLA refuses.

    XLA for TPUs does not compile what their memory cannot hold.

    Raises:
      JaxRuntimeError: it cannot be compiled for another reason.
    """
    try:
        compiled = compile_call()
    except jax.errors.JaxRuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None, math.inf
    return compiled, float(call_memory(compiled))


def usable_memory(mesh: Mesh) -> int:
    """Return the bytes of one device that a call may need, with a margin left.

    An accelerator's allocator tells its limit; CPU devices share the machine's memory.
    """
    device, *others = mesh.local_devices
    if not is_cpu(mesh):
        return int(0.9 * memory_limit(device)) or sys.maxsize
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(0.6 * total) // (1 + len(others))


def memory_limit(device: Any) -> int:
    """Return the bytes of an accelerator that JAX may use; 0 if nothing tells."""
    try:
        statistics = device.memory_stats() or {}
    except (jax.errors.JaxRuntimeError, NotImplementedError):  # it is absent
        statistics = {}
    return statistics.get("bytes_limit") or MEMORY.get(device.device_kind, 0)


def examples_at_once(mesh: Mesh, batch_size: int) -> int:
    """Return how many examples of a batch these devices best compute together.

    On CPUs one on each device, since its numbers stay in a core's cache; elsewhere all.
    """
    return mesh.size if is_cpu(mesh) else batch_size


def default_steps_per_call(mesh: Mesh) -> int:
    """Return how many steps one compiled call takes on these devices at most.

    On an accelerator dispatch costs more than a small model's step, so many. On CPUs a
    step takes far longer, and a signal is answered sooner after one.
    """
    return 1 if is_cpu(mesh) else 100


def default_batches_per_call(mesh: Mesh) -> int:
    """Return how many batches one call evaluates on these devices at most.

    For the same reason; batches of evaluation are larger than those of training.
    """
    return 1 if is_cpu(mesh) else 10


def processor_name() -> str:
    """Return the processor's model name where the system tells it."""
    lines = _processor_lines("model name")
    return lines[0].split(":")[1].strip() if lines else "cpu"


def processor_kind() -> str:
    """Return a short name for all processors with the same model and instructions."""
    lines = _processor_lines("model name", "flags")
    text = "\n".join(sorted(set(lines))) or " ".join(os.uname())
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _processor_lines(*names: str) -> list[str]:
    """Return what Linux says under these names, a line for every core."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    return [line for line in lines if line.startswith(names)]


# -- The process -----------------------------------------------------------------------

# XLA on CPUs runs a Fourier transform that follows other work on one thread. Devices of
# their own keep several cores busy; more than these were not measured to pay.
MOST_CPU_DEVICES = 8

# JAX's options that change numbers, with the values that all results were made with.
NUMERICS = {
    "jax_default_matmul_precision": None,
    "jax_default_prng_impl": "threefry2x32",
    "jax_disable_jit": False,
    "jax_enable_x64": False,
    "jax_high_dynamic_range_gumbel": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_random_seed_offset": 0,
    "jax_softmax_custom_jvp": False,
    "jax_threefry_partitionable": True,
}


# Parts of the names of XLA's options that change numbers.
INEXACT = ("fast_math", "excess_precision")


def set_up() -> None:
    """Fix what changes numbers, use every core, keep memory and compiled programs.

    Raises:
      ValueError: the environment asks for other numbers, or for a platform that JAX
        has not got here.
    """
    fix_numerics()
    use_every_core()
    keep_compiled_programs()
    if first_device().platform == "cpu":
        keep_freed_memory()


def fix_numerics() -> None:
    """Set JAX's options that change numbers, so that equal configs train equally.

    Raises:
      ValueError: an environment variable asks for another value.
    """
    for name, value in NUMERICS.items():
        typed = os.environ.get(name.upper())
        if typed and jax.config.values[name] != value:
            raise ValueError(f"{name.upper()}={typed} would change results; unset it")
        jax.config.update(name, value)
    for flag in xla_flags().split():
        if any(part in flag for part in INEXACT) and not flag.endswith("=false"):
            raise ValueError(f"{flag} in XLA_FLAGS would change results; leave it out")


def xla_flags() -> str:
    """Return what the environment tells XLA."""
    return os.environ.get("XLA_FLAGS", "")


def use_every_core() -> None:
    """Make a CPU device of each core; JAX_NUM_CPU_DEVICES says how many instead.

    Batches are shared by the devices. Nothing changes where there is an accelerator.

    Raises:
      ValueError: it says none.
    """
    asked = jax.config.values["jax_num_cpu_devices"]
    if asked == 0:
        raise ValueError("JAX_NUM_CPU_DEVICES is 0; it must be >= 1")
    if asked < 0:
        cores = len(os.sched_getaffinity(0))
        jax.config.update("jax_num_cpu_devices", min(cores, MOST_CPU_DEVICES))


# Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_ALLOCATOR = {
    _M_MMAP_MAX: 0,  # large blocks too come from the heap
    _M_ARENA_MAX: 1,  # one heap, so that what one thread frees another can use
    _M_TRIM_THRESHOLD: -1,  # give nothing back
    _M_TOP_PAD: 64 * 2**20,  # bytes to grow by
}


def keep_freed_memory() -> bool:
    """Set up the allocator of this process; return False where it is not glibc's."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all(mallopt(name, value) == 1 for name, value in _ALLOCATOR.items())


# -- The compiler ----------------------------------------------------------------------

# jaxlib 0.10 hands reductions on CPUs to a library, YNN, that wants whole arrays, so
# that LayerNorm no longer fuses with what is around it; docs/performance.md has what
# that costs. An empty list of what it may take over keeps XLA's own loops.
WITHOUT_YNN = ("xla_cpu_experimental_ynn_fusion_type", "")


# XLA's CPU backend takes one thread or several for a transform, by whichever thread has
# come there first, and what is left over at the end of a thread's share is rounded
# otherwise. On one thread for each device the same numbers give the same bits.
ONE_THREAD = ("xla_cpu_multi_thread_eigen", False)

Option = tuple[str, str | bool]  # what XLA is told: a name and a value
Options = tuple[Option, ...]


def fastest_options(mesh: Mesh) -> Options:
    """Return compiler options for these devices, of those that XLA knows."""
    return _known_options(mesh, WITHOUT_YNN)


def repeatable_options(mesh: Mesh, lowered: Lowered) -> Options:
    """Return what a program needs to give the same bits whenever it runs here."""
    if is_cpu(mesh) and "stablehlo.fft" in lowered.as_text():
        return _known_options(mesh, ONE_THREAD)
    return ()


def _known_options(mesh: Mesh, option: Option) -> Options:
    """Return an option of XLA's CPU backend where it is one, else none."""
    if not is_cpu(mesh) or not is_known(mesh.devices.flat[0], *option):
        return ()
    return (option,)


@functools.cache
def is_known(device: jax.Device, name: str, value: str | bool) -> bool:
    """Tell whether the XLA of a device has an option; other versions may not."""
    nothing = jax.jit(lambda: 0, out_shardings=SingleDeviceSharding(device)).lower()
    try:
        nothing.compile(compiler_options={name: value})
    except jax.errors.JaxRuntimeError:
        return False
    return True


# -- Caches ----------------------------------------------------------------------------

SHORTEST_SECONDS = 0.1  # what compiles faster is not kept
CHECKED = "checked"  # a file; entries older than it are known to be whole


def keep_compiled_programs() -> None:
    """Keep compiled programs in a folder; JAX_COMPILATION_CACHE_DIR names another.

    Programs for a CPU hold its own instructions, so each kind has a folder of its own.
    """
    folder = jax.config.values["jax_compilation_cache_dir"]
    if folder is None:
        folder = str(cache_folder("jax") / processor_kind())
        jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST_SECONDS)
    # A full disk costs nothing but time.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent comp")
    with contextlib.suppress(OSError):  # JAX reads it all the same
        drop_torn_entries(Path(folder))


def keep_numba_programs() -> None:
    """Have Numba keep its programs where it can write; to be called before its import.

    It fails where neither the code's own folder nor the home can be written.
    """
    os.environ.setdefault("NUMBA_CACHE_DIR", str(cache_folder("numba")))


def cache_folder(name: str) -> Path:
    """Return a folder for what saves time: here, at home, or of this process alone."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for parent in (Path(".cache"), Path(home, "lra_fnet")):
        folder = parent.absolute() / name
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            return folder
    temporary = tempfile.mkdtemp(prefix=f"lra_fnet-{name}-")
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Path(temporary)


def drop_torn_entries(folder: Path) -> None:
    """Delete what a process that was killed has left half-written.

    JAX writes entries in place; it would fail to read a torn one in every later
    process, warn, and never mend it. Entries are looked at once, by the next process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checked, started = folder / CHECKED, time.time()
    since = checked.stat().st_mtime if checked.exists() else 0.0
    for entry in folder.glob("*-cache"):
        if entry.stat().st_mtime >= since and _is_torn(entry):
            entry.unlink(missing_ok=True)
    checked.touch()
    os.utime(checked, (started, started))


def _is_torn(entry: Path) -> bool:
    """Tell whether a file ends too early, if JAX has compressed it by zlib."""
    content = entry.read_bytes()
    if content[:1] != b"\x78":
        return not content
    try:
        zlib.decompress(content)
    except zlib.error:
        return True
    return False
