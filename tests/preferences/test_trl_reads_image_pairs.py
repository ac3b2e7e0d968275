"""TRL's DPO trainer takes one step on our pairs with images, as they are in the parquet file."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import load_dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from tests.preferences.test_image_pairs import write
from tests.preferences.test_trl_reads_pairs import weights
from tests.students.conftest import make_model

SIDE, PATCH = 32, 16
IMAGE = "<image>"
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{{ '<image>' if part['type'] == 'image' else part['text'] }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture
def processor(tokenizer: Any) -> LlavaProcessor:
    """Tokenizer and Pillow's image processing, which needs no torchvision."""
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        image_token=IMAGE,
        num_additional_image_tokens=1,
    )


def llava(processor: LlavaProcessor) -> LlavaForConditionalGeneration:
    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=16,
    )
    text = make_model(processor.tokenizer).config
    token = processor.tokenizer.convert_tokens_to_ids(IMAGE)
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=token, vision_feature_layer=-1
    )
    return LlavaForConditionalGeneration(config)


def test_one_step_of_dpo(processor: LlavaProcessor, tmp_path: Path) -> None:
    from trl import DPOConfig, DPOTrainer

    write(tmp_path, [{}] * 4)
    data = load_dataset(
        "parquet",
        data_files=str(tmp_path / "train.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    settings = DPOConfig(
        output_dir=str(tmp_path / "out"),
        max_length=None,
        max_steps=1,
        per_device_train_batch_size=2,
        learning_rate=1e-2,
        bf16=False,
        use_cpu=True,
        report_to=[],
    )
    targets = r".*language_model.*q_proj|.*multi_modal_projector\.linear_\d"
    model = get_peft_model(llava(processor), LoraConfig(r=2, target_modules=targets))
    before = weights(model)
    trainer = DPOTrainer(model, args=settings, train_dataset=data, processing_class=processor)
    assert math.isfinite(trainer.train().training_loss)
    after = weights(trainer.model)
    moved = {name for name in before if not torch.equal(after[name], before[name])}
    assert any("projector" in name for name in moved)  # so the image took part
