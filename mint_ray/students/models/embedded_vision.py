"""The embedded model of images: EfficientNet-Lite0, a projector, SmolLM2-135M-Instruct.

A `LlavaForConditionalGeneration`, assembled once from weights that install as packages, and kept in
the cache folder. Its projector is new: a short pretraining on drawn tiles and captions of their
nuclei (which do not name a tissue) teaches it to describe an image.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaForCausalLM, LlavaConfig, LlavaProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.llava.modeling_llava import LlavaForConditionalGeneration

from mint_ray.common.cache import cache_folder
from mint_ray.common.digests import sha256
from mint_ray.images.efficientnet_lite import (
    DEVIATION,
    MEAN,
    SIDE,
    EfficientNetLiteConfig,
    load_efficientnet,
    weights_file,
)
from mint_ray.students.models.embedded_text import embedded_model_folder
from mint_ray.students.models.model_cache import make_once, save_model_folder
from mint_ray.students.models.projector_pretraining import pretrain_projector

# Part of the cache key: raise it when the assembly or the projector's pretraining changes.
ASSEMBLY = 3
IMAGE_TOKEN = "<image>"
# The encoder's 7 × 7 features are averaged to 4 × 4: enough for a tile, a third of the tokens.
TOKENS_PER_SIDE = 4
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def embedded_vision_folder() -> Path:
    """Return the folder of the embedded model of images; make it (minutes) if it is not intact.

    Raises:
        TrainingError: the package of the language model is not installed.
        MintError: the package of the image encoder is not installed.
    """
    language = embedded_model_folder()
    key = f"{language.name[-8:]}-{sha256(weights_file())[:8]}-{ASSEMBLY}"
    target = cache_folder() / "models" / f"smollm2-135m-efficientnet-lite0-{key}"
    return make_once(target, lambda folder: _make(language, folder))


def _make(language: Path, target: Path) -> None:
    model, processor = assemble(language)
    pretrain_projector(model, processor)
    save_model_folder(model, target)
    processor.save_pretrained(target)


def assemble(language: Path) -> tuple[Any, Any]:
    """Assemble the model, with an untrained projector, and its processor.

    Args:
        language: folder of a Llama with its tokenizer.

    Returns:
        `LlavaForConditionalGeneration` in evaluation mode and its `LlavaProcessor`.
    """
    tokenizer = AutoTokenizer.from_pretrained(language)
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    tokenizer.chat_template = CHAT_TEMPLATE
    llama = LlamaForCausalLM.from_pretrained(language, dtype=torch.float32)
    llama.resize_token_embeddings(len(tokenizer))
    config = LlavaConfig(
        vision_config=EfficientNetLiteConfig(grid=TOKENS_PER_SIDE),
        text_config=llama.config,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=TOKENS_PER_SIDE**2,
        tie_word_embeddings=llama.config.tie_word_embeddings,
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(load_efficientnet().state_dict())
    model.model.language_model.load_state_dict(llama.model.state_dict())
    model.tie_weights()
    images = CLIPImageProcessorPil(
        size={"height": SIDE, "width": SIDE},
        do_center_crop=False,
        image_mean=list(MEAN),
        image_std=list(DEVIATION),
        do_convert_rgb=False,
    )
    processor = LlavaProcessor(
        images,
        tokenizer,
        patch_size=SIDE // TOKENS_PER_SIDE,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE_TOKEN,
    )
    return model.eval(), processor
