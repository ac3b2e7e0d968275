"""Which layout and which attention a model gets: what agrees with the plain layout on a case."""

import logging
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

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

logger = logging.getLogger(__name__)

# Largest difference of summed log-probabilities, relative to them or to 1 nat where they are less
# than that, at which `auto` shares prompts. In half precision the layouts round differently; a
# wrong mask is off by far more than this.
AGREEMENT = {torch.float32: 1e-4, torch.float64: 1e-4}
AGREEMENT_HALF = 2e-2

_REFUSALS = (RuntimeError, ValueError, TypeError, AttributeError, ImportError)


def choose_layout(setting: str, model: Any, example: Example) -> str:
    """Choose `padded` or `prefix_shared` by `training.prefix_sharing`.

    `auto` compares them on a real example.

    `auto` falls back to `padded` where log-probabilities differ by more than `AGREEMENT` or the
    model refuses a 4-D mask. The outcome is logged. Give it the longest example: windows of
    attention show on long ones only.
    """
    if setting != "auto":
        return "prefix_shared" if setting == "on" else "padded"
    sample = _two_of(example)
    difference = _difference(_sums(padded_logps, model, sample), _shared_sums(model, sample, False))
    layout = "prefix_shared" if difference <= _allowed(model) else "padded"
    logger.info(
        "prefix sharing: %s (layouts differ by %.1e, allowed %.0e)",
        "on" if layout == "prefix_shared" else "off",
        difference,
        _allowed(model),
    )
    return layout


def choose_attention(setting: str, sharing: str, model: Any, example: Example) -> str:
    """Switch the model to FlexAttention where `training.attention` and a trial allow it.

    `auto` tries it on GPUs only. The trial runs the shared layout forward and backward, and
    compares it with the plain layout under the attention that the model had.

    Raises:
        ConfigError: `flex` was asked for and does not work here.
    """
    base = base_of(model)
    before = attention_of(base)
    on_gpu = next(model.parameters()).device.type == "cuda"
    if sharing == "off" or setting == "sdpa" or (setting == "auto" and not on_gpu):
        return before
    sample = _two_of(example)
    plain = _sums(padded_logps, model, sample)
    difference = float("inf")
    try:
        base.set_attn_implementation(FLEX)
        difference = _difference(plain, _shared_sums(model, sample, True))
    except _REFUSALS as error:
        logger.info("FlexAttention is not possible: %s", type(error).__name__)
    if difference > _allowed(model):
        base.set_attn_implementation(before)
        if setting == "flex":
            raise ConfigError(
                "training.attention=flex: expected FlexAttention to train this model here, and to "
                f"agree with {before} to {_allowed(model):.0e}; found a difference of "
                f"{difference:.1e} (inf: it does not run); use training.attention=auto"
            )
    logger.info("attention: %s (differs by %.1e)", attention_of(base), difference)
    return attention_of(base)


def _two_of(example: Example) -> Example:
    """The same prompt with two completions: enough to tell, and never much to compute."""
    return replace(example, completions=example.completions[:2])


def _shared_sums(model: Any, example: Example, backward: bool) -> Tensor | None:
    """Sums of the shared layout; None where the model cannot compute it."""
    try:
        return _sums(prefix_shared_logps, model, example, backward)
    except torch.OutOfMemoryError:
        raise
    except CannotShare as error:
        logger.info("shared layout is not possible: %s", error)
        return None
    except _REFUSALS as error:
        logger.info("shared layout is not possible: %s", type(error).__name__)
        return None


def _sums(layout: Any, model: Any, example: Example, backward: bool = False) -> Tensor:
    was_training = model.training
    model.eval()
    try:
        with torch.set_grad_enabled(backward):
            logps: Logps = layout(model, [example], True)
            sums = torch.cat([logps.sums, logps.prompt_sums])
        if backward and sums.requires_grad:
            sums.sum().backward()  # type: ignore[no-untyped-call]
            model.zero_grad(set_to_none=True)
        return sums.detach()
    finally:
        model.train(was_training)


def _difference(plain: Tensor, shared: Tensor | None) -> float:
    if shared is None:
        return float("inf")
    a, b = plain.double(), shared.double()
    return float(((a - b).abs() / a.abs().clamp(min=1.0)).max())


def _allowed(model: Any) -> float:
    return AGREEMENT.get(next(model.parameters()).dtype, AGREEMENT_HALF)
