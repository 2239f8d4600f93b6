"""Comparisons in one process: the transform alone, steps, and steps with attention."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping

import jax

from lra_fnet.config import lra_config
from lra_fnet.hardware import call_memory, usable_memory
from lra_fnet.mixers._fourier import chosen_algorithm
from lra_fnet.speed.alone import batch_for, transform_calls
from lra_fnet.speed.comparison import Comparison, compared
from lra_fnet.speed.plan import PUBLISHED, Plan, described, recipe_setting
from lra_fnet.speed.setting import Setting, make_setting
from lra_fnet.speed.timing import Sample, interleaved
from lra_fnet.step import Program, make_mesh

# Lengths of LRA and the powers of two beside them, at widths of its recipes.
SHAPES = ((1024, 128), (2000, 512), (2048, 128), (4000, 256), (4096, 64), (16384, 128))
ALONE = "published, one device"
FUSED = "transformer_rope"  # a kernel on GPUs, jax.nn.dot_product_attention elsewhere
# LRA's Retrieval has these sizes, and Text those of twice the width.
ATTENTION = {
    "encoder.width": 128,
    "encoder.mlp_dim": 512,
    "mixers.transformer.num_heads": 4,
    f"mixers.{FUSED}.num_heads": 4,
}


def mixing(plan: Plan) -> Iterator[Comparison]:
    """Compare the chosen algorithm alone with the published formula.

    The formula runs once as a step does, on all devices, and once on a single device,
    as it does in a program that knows of no other.
    """
    for length, width in SHAPES:
        algorithm = chosen_algorithm(length, width, "float32")
        shape = batch_for(length, width), length, width
        calls = transform_calls(["published", algorithm], shape, "float32", False)
        slower = ["published"]
        if jax.local_device_count() > 1:
            slower.append(ALONE)
            calls[ALONE] = _transform_on_one_device(shape)
        samples = interleaved(calls, plan.rounds, plan.seconds, settling=1)
        setting = f"length {length:,}, width {width}"
        pairs = [(algorithm, name) for name in slower]
        yield from compared("mixing", setting, samples, pairs, shape[0])


def _transform_on_one_device(shape: tuple[int, int, int]) -> Callable:
    """Return the published formula for the whole batch on one device."""
    name = "published"
    return transform_calls([name], shape, "float32", False, make_mesh(1))[name]


def step(plan: Plan) -> Iterator[Comparison]:
    """Compare training steps of FNet with those of FNet by the published formula.

    As in `mixing`, the formula runs on all devices and on a single one.
    """
    for task in plan.tasks:
        mixed = {"encoder.dtype": plan.dtype}
        published = {**mixed, **PUBLISHED}
        settings = {
            "fnet": recipe_setting(task, mixed),
            "published": recipe_setting(task, published),
        }
        if jax.local_device_count() > 1:
            settings[ALONE] = recipe_setting(task, published, changed=on_one_device)
        samples = in_turns(settings, plan)
        words, batch = described(settings["fnet"], task), settings["fnet"].batch_size
        pairs = [("fnet", name) for name in settings if name != "fnet"]
        yield from compared("step", words, samples, pairs, batch)


def on_one_device(program: Program) -> Program:
    """Return the program on one device, in whole batches, whatever others there are."""
    return dataclasses.replace(program, mesh=make_mesh(1), accumulate=1)


def attention(plan: Plan) -> Iterator[Comparison]:
    """Compare training steps of FNet with those of a Transformer, plain and fused."""
    for length in plan.lengths:
        settings = {
            model: setting
            for model in ("fnet", "transformer", FUSED)
            if fits(setting := attention_setting(model, length, plan))
        }
        samples = in_turns(settings, plan)
        pairs = [("fnet", model) for model in settings if model != "fnet"]
        words = described(settings["fnet"], "text")
        yield from compared("attention", words, samples, pairs, plan.batch(length))


def attention_setting(model: str, length: int, plan: Plan) -> Setting:
    """Return a model of Text in training, at other sizes and in a small batch."""
    sizes = {"model": model, "encoder.dtype": plan.dtype, **ATTENTION}
    sizes["train.batch_size"] = plan.batch(length)
    return make_setting(lra_config("text", sizes), length)


def in_turns(settings: Mapping[str, Setting], plan: Plan) -> dict[str, list[Sample]]:
    """Time training calls of several settings, all compiled before."""
    for setting in settings.values():
        setting.compile()
    calls = {name: setting.step for name, setting in settings.items()}
    return interleaved(calls, plan.rounds, plan.seconds, settling=1)


def fits(setting: Setting) -> bool:
    """Tell whether a training call has enough memory."""
    return call_memory(setting.training) <= usable_memory(setting.program.mesh)
