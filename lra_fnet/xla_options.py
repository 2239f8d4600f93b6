"""Which options make XLA's programs fast here, found out by asking XLA."""

import functools

import jax

# jaxlib 0.10 hands reductions on CPUs to a library, YNN, that wants whole arrays, so
# that LayerNorm no longer fuses with what is around it; docs/performance.md has what
# that costs. An empty list of what it may take over keeps XLA's own loops.
WITHOUT_YNN = ("xla_cpu_experimental_ynn_fusion_type", "")


@functools.cache
def fastest_options() -> tuple[tuple[str, str], ...]:
    """Return compiler options as pairs of name and value; those XLA knows."""
    if jax.default_backend() != "cpu" or not is_known(*WITHOUT_YNN):
        return ()
    return (WITHOUT_YNN,)


def is_known(name: str, value: str) -> bool:
    """Tell whether this XLA has an option; other versions may not."""
    nothing = jax.jit(lambda: 0).lower()
    try:
        nothing.compile(compiler_options={name: value})
    except jax.errors.JaxRuntimeError:
        return False
    return True
