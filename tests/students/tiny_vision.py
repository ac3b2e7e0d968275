"""Small randomly initialised image-and-text models of four architectures, saved with processors.

Their image processors need Pillow only; processors that would want a video processor, which
needs torchvision, are saved as their parts.
"""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from transformers import (
    CLIPVisionConfig,
    Idefics3Config,
    LlamaConfig,
    LlavaConfig,
    LlavaProcessor,
    MllamaConfig,
    Qwen2VLConfig,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.idefics3.modeling_idefics3 import Idefics3ForConditionalGeneration
from transformers.models.idefics3.processing_idefics3 import Idefics3Processor
from transformers.models.llava.modeling_llava import LlavaForConditionalGeneration
from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil
from transformers.models.mllama.modeling_mllama import MllamaForConditionalGeneration
from transformers.models.mllama.processing_mllama import MllamaProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLForConditionalGeneration

SIDE = 28
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}


def chat_template(image: str) -> str:
    return (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
        "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
        "{{ '" + image + "' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
        "{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )


def _with_tokens(tokenizer: Any, image: str, *tokens: str) -> Any:
    made = copy.deepcopy(tokenizer)
    made.add_tokens([AddedToken(token, special=True) for token in tokens], special_tokens=True)
    made.chat_template = chat_template(image)
    return made


def save_llava(tokenizer: Any, folder: Path) -> None:
    reader = _with_tokens(tokenizer, "<image>", "<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=7,
        ),
        text_config=LlamaConfig(vocab_size=len(reader), tie_word_embeddings=True, **TEXT),
        image_token_id=reader.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        image_seq_length=16,
        tie_word_embeddings=True,
    )
    _randomised(LlavaForConditionalGeneration(config)).save_pretrained(folder)
    side = {"height": SIDE, "width": SIDE}
    images = CLIPImageProcessorPil(size=side, crop_size=side)
    LlavaProcessor(
        images,
        reader,
        patch_size=7,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=reader.chat_template,
    ).save_pretrained(folder)


def save_idefics3(tokenizer: Any, folder: Path) -> None:
    names = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    reader = _with_tokens(
        tokenizer,
        "<image>",
        "<fake_token_around_image>",
        "<image>",
        "<end_of_utterance>",
        "<global-img>",
        *names,
    )
    vision = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 7,
    }
    config = Idefics3Config(
        vision_config=vision,
        text_config={
            **TEXT,
            "model_type": "llama",
            "vocab_size": len(reader),
            "tie_word_embeddings": False,
        },
        image_token_id=reader.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=2,
    )
    _randomised(Idefics3ForConditionalGeneration(config)).save_pretrained(folder)
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}
    )
    Idefics3Processor(
        images, reader, image_seq_len=4, chat_template=reader.chat_template
    ).save_pretrained(folder)


def save_qwen2_vl(tokenizer: Any, folder: Path) -> None:
    placeholder = "<|vision_start|><|image_pad|><|vision_end|>"
    reader = _with_tokens(
        tokenizer,
        placeholder,
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    )
    ids = {token: reader.convert_tokens_to_ids(token) for token in reader.get_added_vocab()}
    config = Qwen2VLConfig(
        text_config={
            **TEXT,
            "vocab_size": len(reader),
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [1, 1, 2],
                "rope_theta": 10000.0,
            },
        },
        vision_config={
            "depth": 2,
            "embed_dim": 16,
            "hidden_size": 32,
            "num_heads": 2,
            "patch_size": 7,
            "spatial_merge_size": 2,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    _randomised(Qwen2VLForConditionalGeneration(config)).save_pretrained(folder)
    Qwen2VLImageProcessorPil(
        patch_size=7, merge_size=2, min_pixels=SIDE * SIDE, max_pixels=4 * SIDE * SIDE
    ).save_pretrained(folder)
    reader.save_pretrained(folder)


def save_mllama(tokenizer: Any, folder: Path) -> None:
    reader = _with_tokens(tokenizer, "<|image|>", "<|image|>", "<|python_tag|>")
    config = MllamaConfig(
        text_config={
            **TEXT,
            "vocab_size": len(reader),
            "num_hidden_layers": 3,
            "cross_attention_layers": [1],
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 2,
            "image_size": SIDE,
            "patch_size": 7,
            "max_num_tiles": 2,
            "intermediate_layers_indices": [0],
            "vision_output_dim": 32,
            "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
        },
        image_token_index=reader.convert_tokens_to_ids("<|image|>"),
    )
    model = _randomised(MllamaForConditionalGeneration(config))
    with torch.no_grad():  # they start closed, and would hide the image
        for name, parameter in model.named_parameters():
            if "gate" in name and parameter.numel() == 1:
                parameter.fill_(1.0)
    model.save_pretrained(folder)
    images = MllamaImageProcessorPil(size={"height": SIDE, "width": SIDE}, max_image_tiles=2)
    MllamaProcessor(images, reader, chat_template=reader.chat_template).save_pretrained(folder)


def _randomised(model: Any) -> Any:
    """Weights large enough that an image makes a difference one can measure."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)
            elif "norm" not in name and "layrnorm" not in name:
                parameter.normal_(std=0.05)
    return model.eval()


SAVERS: dict[str, Callable[[Any, Path], None]] = {
    "llava": save_llava,
    "idefics3": save_idefics3,
    "qwen2_vl": save_qwen2_vl,
    "mllama": save_mllama,
}


def rename_to_smolvlm(folder: Path) -> None:
    """The same weights and parts under SmolVLM's names: it took over the architecture."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config |= {"model_type": "smolvlm", "architectures": ["SmolVLMForConditionalGeneration"]}
    config["vision_config"]["model_type"] = "smolvlm_vision"
    file.write_text(json.dumps(config), encoding="utf-8")
