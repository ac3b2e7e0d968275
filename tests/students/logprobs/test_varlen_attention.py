"""Attention over a line of examples gives what the padded layout gives, gradients included."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from mint_ray.errors import ConfigError
from mint_ray.students.logprobs import layout_check
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layout_check import choose_attention
from mint_ray.students.logprobs.layouts import attention_of, padded_logps, prefix_shared_logps
from mint_ray.students.logprobs.varlen_attention import VARLEN, Line
from tests.students.conftest import assert_same_gradients, take_gradients


def unequal(examples: list[Example]) -> list[Example]:
    """Examples with one to three answers and prompts of several lengths."""
    first, second = examples[0].completions
    answers = (first, second, first[::-1])
    return [
        replace(
            example, completions=answers[: 1 + number], prompt=example.prompt[: 60 - 9 * number]
        )
        for number, example in enumerate(examples)
    ]


@pytest.mark.parametrize("with_prompt", [False, True])  # False: their beginning is computed once
def test_a_line_gives_the_sums_and_gradients_of_padded_sequences(
    model: Any, examples: list[Example], with_prompt: bool
) -> None:
    many = unequal(examples)
    plain = padded_logps(model, many, with_prompt)
    (plain.sums.sum() + plain.prompt_sums.sum()).backward()
    expected = take_gradients(model)
    model.set_attn_implementation(VARLEN)
    shapes = []
    handle = model.model.layers[0].register_forward_hook(
        lambda _module, inputs, _output: shapes.append(inputs[0].shape[:2])
    )
    line = prefix_shared_logps(model, many, with_prompt)
    handle.remove()
    (line.sums.sum() + line.prompt_sums.sum()).backward()
    for found, wanted in zip(line, plain, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-4, check_dtype=False)
    assert_same_gradients(take_gradients(model), expected)
    prefix = 0 if with_prompt else shapes[0][1]
    own = sum(len(example) - prefix for example in many)
    shared = sum(example.shared_start * (len(example.completions) - 1) for example in many)
    assert shapes[-1] == (1, own - shared)  # no token of padding, none twice


def test_a_line_can_be_computed_again_for_its_gradients(
    model: Any, examples: list[Example]
) -> None:
    model.set_attn_implementation(VARLEN)
    prefix_shared_logps(model, unequal(examples), True).sums.sum().backward()
    expected = take_gradients(model)
    model.activation_checkpointing_enable()
    model.train()
    prefix_shared_logps(model, unequal(examples), True).sums.sum().backward()
    assert_same_gradients(take_gradients(model), expected)


def test_dropout_of_attention_weights_is_kept(model: Any, examples: list[Example]) -> None:
    model.set_attn_implementation(VARLEN)
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    model.train()
    first, second = (prefix_shared_logps(model, examples, False).sums for _ in range(2))
    assert not torch.equal(first, second)
    model.eval()
    first, second = (prefix_shared_logps(model, examples, False).sums for _ in range(2))
    assert torch.equal(first, second)


def test_a_grid_and_its_line_are_the_same_tokens() -> None:
    line = Line.of(torch.tensor([[True, True, False], [True, False, False]]))
    tokens = torch.tensor([[1.0], [2.0], [3.0]], requires_grad=True)
    grid = line.spread(tokens)
    assert grid.squeeze(-1).tolist() == [[1, 2, 0], [3, 0, 0]]
    assert torch.equal(line.collect(grid), tokens)
    line.collect(grid * torch.tensor([10.0])).sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.squeeze(-1).tolist() == [10, 10, 10]


@pytest.mark.skipif(torch.cuda.is_available(), reason="auto is SDPA on a GPU")
def test_auto_takes_it_on_a_cpu(adapted: Any, examples: list[Example]) -> None:
    assert choose_attention("auto", "auto", adapted, examples[0]) == VARLEN


@pytest.mark.skipif(torch.cuda.is_available(), reason="auto is SDPA on a GPU")
def test_rounding_alone_does_not_refuse_it(
    model: Any, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    half = model.to(torch.bfloat16)
    before = {name: value.clone() for name, value in half.state_dict().items()}
    monkeypatch.setattr(layout_check, "AGREEMENT_HALF", 1e-9)
    assert choose_attention("varlen", "auto", half, examples[0]) == VARLEN
    assert all(torch.equal(value, before[name]) for name, value in half.state_dict().items())
    assert all(value.grad is None for value in half.parameters())


def test_a_model_that_passes_no_line_on_keeps_sdpa(
    model: Any, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_line(*args: Any, line: Any = None, **others: Any) -> Any:
        return forward(*args, **others)

    forward = model.model.forward
    monkeypatch.setattr(model.model, "forward", without_line)
    assert choose_attention("auto", "auto", model, examples[0]) == "sdpa"
    assert attention_of(model) == "sdpa"
    with pytest.raises(ConfigError, match="attention=varlen"):
        choose_attention("varlen", "auto", model, examples[0])
    assert choose_attention("auto", "off", model, examples[0]) == "sdpa"


def test_a_saved_model_does_not_ask_for_it(model: Any, tmp_path: Path) -> None:
    model.set_attn_implementation(VARLEN)
    model.save_pretrained(tmp_path)
    assert VARLEN not in (tmp_path / "config.json").read_text(encoding="utf-8")
    assert attention_of(type(model)(AutoConfig.from_pretrained(tmp_path))) == "sdpa"
