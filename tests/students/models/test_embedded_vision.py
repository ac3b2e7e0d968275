"""The embedded model of images: put together, taught to look, saved as any model is."""

from pathlib import Path
from typing import Any

import pytest
import torch

from mint_ray.images.decode import sample_image
from mint_ray.students.encoding.images import ImageEncoder
from mint_ray.students.logprobs.examples import Example
from mint_ray.students.logprobs.layouts import padded_logps, prefix_shared_logps
from mint_ray.students.models.base_models import load_base_model, resolve_base_model
from mint_ray.students.models.embedded_vision import TOKENS_PER_SIDE, assemble
from mint_ray.students.models.model_cache import save_model_folder
from mint_ray.students.models.processors import load_processor
from mint_ray.students.models.projector_pretraining import PretrainingSpec, pretrain_projector
from mint_ray.tasks.prompts import answer_text, build_image_prompt
from mint_ray.tasks.task import TISSUE
from tests.students.vision_cases import TISSUES


@pytest.fixture(scope="module")
def built(base_folder: Path) -> tuple[Any, Any]:
    """Around the tiny language model; the image encoder is the real one."""
    return assemble(base_folder)


def test_alignment_teaches_the_projector_alone(built: tuple[Any, Any]) -> None:
    model, processor = built
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    losses = pretrain_projector(model, processor, PretrainingSpec(tiles=24, epochs=6, batch_size=8))
    assert sum(losses[-3:]) < sum(losses[:3])
    changed = {n for n, tensor in model.state_dict().items() if not torch.equal(tensor, before[n])}
    assert changed
    assert all("multi_modal_projector" in name for name in changed)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_saved_and_loaded_it_sees_and_shares(built: tuple[Any, Any], tmp_path: Path) -> None:
    model, processor = built
    save_model_folder(model, tmp_path)
    processor.save_pretrained(tmp_path)
    base = resolve_base_model(str(tmp_path))
    assert base.sees_images
    loaded, reader = load_base_model(base, torch.float32, "cpu"), load_processor(base)
    encoder = ImageEncoder(reader, 900, 1200, TISSUE)
    prompt = encoder.prompt(build_image_prompt(TISSUES, 2), [sample_image()])
    assert prompt.vision_inputs is not None
    assert len(prompt.vision_inputs.image_positions) == TOKENS_PER_SIDE**2
    answers = tuple(encoder.answer(answer_text([name], TISSUE)) for name in TISSUES[:2])
    example = Example(
        ("a",), prompt.ids, answers, ((0, 1),), (0,), vision_inputs=prompt.vision_inputs
    )
    with torch.no_grad():
        plain, shared = (
            padded_logps(loaded, [example], True),
            prefix_shared_logps(loaded, [example], True),
        )
        original = padded_logps(model, [example], True)
    torch.testing.assert_close(shared.sums, plain.sums, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(original.sums, plain.sums, rtol=1e-5, atol=1e-4)
