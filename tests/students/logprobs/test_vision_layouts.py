"""The image is in the loss, once per case, and nothing else changes with it."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from mint_ray.config.training import StudentConfig
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layout_check import choose_layout
from mint_ray.students.logprobs.layouts import (
    LAYOUTS,
    base_of,
    padded_logps,
    prefix_shared_logps,
)
from mint_ray.students.logprobs.varlen_attention import VARLEN
from mint_ray.students.models.base_models import load_base_model, resolve_base_model
from mint_ray.students.models.lora import add_adapter, sees_images
from mint_ray.students.models.processors import load_processor
from tests.students.conftest import assert_same_gradients, take_gradients
from tests.students.losses import our_loss
from tests.students.tiny_vision import SAVERS, rename_to_smolvlm
from tests.students.vision_cases import image_example, picture

SHARING = ("llava", "idefics3", "smolvlm", "qwen2_vl")
ALL = (*SHARING, "mllama")


class Built(NamedTuple):
    model: Any
    processor: Any


@pytest.fixture(scope="module")
def built(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    """Each architecture, loaded as a user's model is, with an adapter that does something."""
    found = {}
    for kind in ALL:
        folder = save(kind, tokenizer, tmp_path_factory.mktemp(kind))
        base = resolve_base_model(str(folder))
        model = load_base_model(base, torch.float32, "cpu")
        assert sees_images(model)
        wrapped = add_adapter(model, StudentConfig(lora_rank=4), None, seed=0)
        with torch.no_grad():
            for name, parameter in wrapped.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.1)
        found[kind] = Built(wrapped.eval(), load_processor(base))
    return found


def save(kind: str, tokenizer: Any, folder: Path) -> Path:
    SAVERS["idefics3" if kind == "smolvlm" else kind](tokenizer, folder)
    if kind == "smolvlm":
        rename_to_smolvlm(folder)
    return folder


def loss_of(model: Any, kind: str, examples: list[Example]) -> torch.Tensor:
    layout = "padded" if kind == "mllama" else "prefix_shared"
    loss: torch.Tensor = our_loss(model, examples, layout, "prompt_and_chosen")[0]
    return loss


@pytest.mark.parametrize("attention", ["sdpa", VARLEN])
@pytest.mark.parametrize("kind", SHARING)
def test_layouts_agree(built: dict[str, Built], kind: str, attention: str) -> None:
    model, processor = built[kind]
    # Several images in a prompt, other sizes, more than one example in a row.
    examples = [
        image_example(processor, 0, [picture(0), picture(1, 60, 30)]),
        image_example(processor, 1, [picture(2, 30, 44)]),
    ]
    plain = padded_logps(model, examples, True)
    base_of(model).set_attn_implementation(attention)
    shared = prefix_shared_logps(model, examples, True)
    base_of(model).set_attn_implementation("sdpa")
    for found, expected in zip(shared, plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    plain.sums.sum().backward()
    expected_gradients = take_gradients(model)
    shared.sums.sum().backward()
    assert_same_gradients(take_gradients(model), expected_gradients)
    assert choose_layout("auto", model, examples[0]) == "prefix_shared"


def test_cross_attention_falls_back_and_says_why(
    built: dict[str, Built], caplog: pytest.LogCaptureFixture
) -> None:
    model, processor = built["mllama"]
    with caplog.at_level(logging.INFO):
        layout = choose_layout("auto", model, image_example(processor, 0, [picture(0)]))
    assert layout == "padded"
    assert "through cross-attention" in caplog.text


@pytest.mark.parametrize("kind", ALL)
def test_another_image_changes_loss_and_gradients(built: dict[str, Built], kind: str) -> None:
    model, processor = built[kind]
    losses, gradients = [], []
    for seed in (0, 5):
        loss = loss_of(model, kind, [image_example(processor, 0, [picture(seed)])])
        loss.backward()
        losses.append(float(loss.detach()))
        gradients.append(take_gradients(model))
    assert abs(losses[0] - losses[1]) > 1e-3
    assert any("lora" not in name for name in gradients[0])  # the projector learns too
    for name, one in gradients[0].items():
        other = gradients[1][name]
        assert float((one - other).abs().max()) > 1e-6 * float(one.abs().max()) or not one.any()


@pytest.mark.parametrize("kind", ALL)
def test_padding_changes_nothing(built: dict[str, Built], kind: str) -> None:
    """Beside a longer example with more images, a case's own figures stay what they were."""
    model, processor = built[kind]
    case = image_example(processor, 0, [picture(0)])
    beside = image_example(processor, 1, [picture(3, 60, 30), picture(4)])
    layout = LAYOUTS["padded" if kind == "mllama" else "prefix_shared"]
    alone, together = layout(model, [case], True), layout(model, [case, beside], True)
    torch.testing.assert_close(together.sums[:2], alone.sums, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(together.prompt_sums[:1], alone.prompt_sums, rtol=1e-5, atol=1e-4)
    alone.sums.sum().backward()
    expected = take_gradients(model)
    layout(model, [case, beside], True).sums[:2].sum().backward()
    found = take_gradients(model)
    assert_same_gradients(found, expected)


@pytest.mark.parametrize("kind", ALL)
def test_image_tokens_are_never_counted(built: dict[str, Built], kind: str) -> None:
    _, processor = built[kind]
    example = image_example(processor, 0, [picture(0), picture(1)])
    assert example.vision_inputs is not None
    tokens = {example.prompt[place] for place in example.vision_inputs.image_positions}
    assert len(tokens) == 1
    assert example.prompt.count(tokens.pop()) == len(example.vision_inputs.image_positions) > 0
    counted = set(range(1, len(example.prompt))) - set(example.vision_inputs.image_positions)
    assert set(example.prompt_targets) == counted
