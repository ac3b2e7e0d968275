"""Choice of log-probability layout and attention kernel.

The fast ones are used only if they reproduce the padded layout on a real example.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mint_ray.common.devices import HALF
from mint_ray.errors import ConfigError
from mint_ray.students.encoding.vision_inputs import CannotShare
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import (
    FLEX,
    Logps,
    attention_of,
    base_of,
    padded_logps,
    prefix_shared_logps,
)
from mint_ray.students.logprobs.varlen_attention import VARLEN

logger = logging.getLogger(__name__)

# Largest difference of summed log-probabilities, relative to them or to 1 nat where they are less
# than that, at which `auto` shares prompts. In half precision the layouts round differently; a
# wrong mask is off by far more than this.
AGREEMENT = {torch.float32: 1e-4, torch.float64: 1e-4}
AGREEMENT_HALF = 2e-2

# Errors by which a model or kernel refuses a 4-D mask or positions of its own.
_REFUSALS = (RuntimeError, ValueError, TypeError, AttributeError, ImportError)


def choose_layout(setting: str, model: Any, example: Example) -> str:
    """Choose `padded` or `prefix_shared` by `training.prefix_sharing`.

    `auto` compares both on a real example, and takes `padded` where log-probabilities differ by
    more than `AGREEMENT`, in float32 too, or the model refuses a 4-D mask. The outcome is logged.

    Args:
        setting: `auto`, `on` or `off`.
        model: causal or image-and-text language model, PEFT-wrapped or not.
        example: the longest of the run: attention windows show on long examples only.
    """
    if setting != "auto":
        return "prefix_shared" if setting == "on" else "padded"
    # Twice, so that a beginning that prompts share is computed apart as well.
    sample = [_two_of(example)] * 2
    difference, allowed = _measure(model, partial(_difference_of_layouts, model, sample))
    layout = "prefix_shared" if difference <= allowed else "padded"
    logger.info(
        "prefix sharing: %s (layouts differ by %.1e, allowed %.0e)",
        "on" if layout == "prefix_shared" else "off",
        difference,
        allowed,
    )
    return layout


def _measure(model: Any, difference_of: Callable[[], float]) -> tuple[float, float]:
    """Return a difference of log-probabilities and the largest one that is allowed.

    A difference that half precision does not allow is measured in float32 instead, since rounding
    alone can be as much.
    """
    difference, allowed = difference_of(), _allowed(model)
    if allowed < difference < float("inf") and next(model.parameters()).dtype in HALF:
        with _in_float32(model):
            return difference_of(), _allowed(model)
    return difference, allowed


def _difference_of_layouts(model: Any, sample: Sequence[Example]) -> float:
    return max(
        _difference(
            _sums(padded_logps, model, sample, with_prompt),
            _shared_sums(model, sample, with_prompt, False),
        )
        for with_prompt in (False, True)
    )


@contextmanager
def _in_float32(model: Any) -> Iterator[None]:
    """Hold a model's half-precision parameters in float32, and give them back as they were."""
    halves = [(p, p.dtype) for p in model.parameters() if p.dtype in HALF]
    try:
        for parameter, _ in halves:
            parameter.data = parameter.data.float()
        yield
    finally:
        for parameter, dtype in halves:
            parameter.data = parameter.data.to(dtype)


def choose_attention(setting: str, sharing: str, model: Any, example: Example) -> str:
    """Switch the model to the attention kernel that `training.attention` asks for.

    `auto` takes `varlen` on a CPU, if a trial allows it, and SDPA elsewhere. The trial runs the
    shared layout forward and backward, and compares it with the padded layout under the attention
    that the model had, in float32 too where half precision differs.

    Args:
        setting: `training.attention`.
        sharing: `training.prefix_sharing`; `off` leaves the attention as it is.
        model: causal or image-and-text language model, PEFT-wrapped or not.
        example: the longest of the run.

    Returns:
        The name of the attention that the model has now.

    Raises:
        ConfigError: the kernel that was asked for does not work here.
    """
    base = base_of(model)
    before = attention_of(base)
    on_cpu = next(model.parameters()).device.type == "cpu"
    wanted = {"flex": FLEX, "varlen": VARLEN, "auto": VARLEN if on_cpu else before}.get(setting)
    if sharing == "off" or wanted in (None, before):
        return before
    sample = [_two_of(example)] * 2

    def difference_of_kernels() -> float:
        base.set_attn_implementation(before)
        padded = _sums(padded_logps, model, sample, True)
        try:
            base.set_attn_implementation(wanted)
            return _difference(padded, _shared_sums(model, sample, True, True))
        except _REFUSALS as error:
            logger.info("%s is not possible: %s", wanted, type(error).__name__)
            return float("inf")

    difference, allowed = _measure(model, difference_of_kernels)
    if difference > allowed:
        base.set_attn_implementation(before)
        if setting != "auto":
            raise ConfigError(
                f"training.attention={setting}: expected {wanted} to train this model here, and to "
                f"agree with {before} to {allowed:.0e}; found a difference of {difference:.1e} "
                "(inf: it does not run); use training.attention=auto"
            )
    logger.info("attention: %s (%s differs by %.1e)", attention_of(base), wanted, difference)
    return attention_of(base)


def _two_of(example: Example) -> Example:
    """Return the example with its first two completions, which are enough to compare layouts."""
    return replace(example, completions=example.completions[:2])


def _shared_sums(
    model: Any, examples: Sequence[Example], with_prompt: bool, backward: bool
) -> Tensor | None:
    """Return the sums of the shared layout; None where the model cannot compute it."""
    try:
        return _sums(prefix_shared_logps, model, examples, with_prompt, backward)
    except torch.OutOfMemoryError:
        # A RuntimeError too, but it says nothing about the layout: the run must not hide it.
        raise
    except CannotShare as error:
        logger.info("shared layout is not possible: %s", error)
        return None
    except _REFUSALS as error:
        logger.info("shared layout is not possible: %s", type(error).__name__)
        return None


def _sums(
    layout: Any,
    model: Any,
    examples: Sequence[Example],
    with_prompt: bool,
    backward: bool = False,
) -> Tensor:
    was_training = model.training
    model.eval()
    try:
        with torch.set_grad_enabled(backward):
            logps: Logps = layout(model, examples, with_prompt)
            sums = torch.cat([logps.sums, logps.prompt_sums])
        if backward and sums.requires_grad:
            sums.sum().backward()  # type: ignore[no-untyped-call]
            model.zero_grad(set_to_none=True)
        return sums.detach()
    finally:
        model.train(was_training)


def _difference(padded: Tensor, shared: Tensor | None) -> float:
    if shared is None:
        return float("inf")
    a, b = padded.double(), shared.double()
    return float(((a - b).abs() / a.abs().clamp(min=1.0)).max())


def _allowed(model: Any) -> float:
    return AGREEMENT.get(next(model.parameters()).dtype, AGREEMENT_HALF)
