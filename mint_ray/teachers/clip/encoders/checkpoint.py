"""Frozen encoders of a CLIP checkpoint in the format of transformers."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer, CLIPConfig
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from mint_ray.common.arrays import Floats32
from mint_ray.common.devices import pick_device
from mint_ray.common.digests import sha256
from mint_ray.encoders.batches import in_parts
from mint_ray.errors import ConfigError, TeacherError
from mint_ray.teachers.clip.encoders.base import Projections


class CheckpointEncoders:
    """The towers of a CLIP checkpoint; features are taken before its `projections`.

    Only safetensors are read, and code of the checkpoint is never run.

    Args:
        checkpoint: name on the Hugging Face Hub, or a folder.
        revision: of the checkpoint on the Hub; not used for a folder.

    Raises:
        ConfigError: the checkpoint has another architecture.
        TeacherError: the checkpoint cannot be loaded.
    """

    def __init__(self, checkpoint: str, revision: str | None) -> None:
        self._device = pick_device()
        options: dict[str, Any] = {"trust_remote_code": False}
        if not Path(checkpoint).is_dir():
            options["revision"] = revision
        try:
            config = AutoConfig.from_pretrained(checkpoint, **options)
            if not isinstance(config, CLIPConfig):
                raise ConfigError(
                    f"teacher.clip.checkpoint={checkpoint}: expected a CLIP model, found "
                    f"{config.model_type}"
                )
            model = AutoModel.from_pretrained(checkpoint, use_safetensors=True, **options)
            self._tokenizer = AutoTokenizer.from_pretrained(checkpoint, **options)
            processor = _processor_settings(checkpoint, options)
        except (OSError, ValueError, ImportError) as error:
            raise TeacherError(
                f"teacher.clip.checkpoint={checkpoint}: cannot be loaded "
                f"({type(error).__name__}); expected a name on the Hugging Face Hub or a folder "
                "with safetensors weights, a tokenizer and a preprocessor_config.json"
            ) from error
        self._pixels = PixelMaker(processor, config.vision_config.image_size)
        self._model = model.to(self._device).eval().requires_grad_(False)
        self._checkpoint, self._requested = checkpoint, revision

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Return name and revision of the checkpoint; of a folder the hashes of its weights."""
        folder = Path(self._checkpoint)
        if folder.is_dir():
            files = sorted(folder.glob("*.safetensors"))
            revision: Any = {file.name: sha256(file)[:16] for file in files}
        else:
            revision = getattr(self._model.config, "_commit_hash", None) or self._requested
        return {"checkpoint": self._checkpoint, "revision": revision}

    @cached_property
    def projections(self) -> Projections:
        """Return the projections and the scale of the checkpoint."""
        return Projections(
            self._model.visual_projection.weight.detach().float().cpu(),
            self._model.text_projection.weight.detach().float().cpu(),
            float(self._model.logit_scale.detach().float().exp()),
        )

    def images(self, images: Sequence[Image.Image]) -> Floats32:
        """Return the pooled features (n, image_width) of the vision tower."""
        return in_parts(self._image_features, images)

    def texts(self, texts: Sequence[str]) -> Floats32:
        """Return the pooled features (n, text_width) of texts, cut to the context of the tower."""
        return in_parts(self._text_features, texts)

    def _image_features(self, images: Sequence[Image.Image]) -> Tensor:
        pixels = self._pixels(images).to(self._device)
        pooled: Tensor = self._model.vision_model(pixel_values=pixels).pooler_output
        return pooled

    def _text_features(self, texts: Sequence[str]) -> Tensor:
        tokens = self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self._model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(self._device)
        pooled: Tensor = self._model.text_model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).pooler_output
        return pooled


class PixelMaker:
    """Preprocessing of RGB images as in CLIP's image processor, with Pillow alone.

    The shorter edge is resized, the middle square is cut out, and values are scaled and
    normalised.

    Args:
        settings: of `preprocessor_config.json`.
        side: height and width of the vision tower's input, in pixels.
    """

    def __init__(self, settings: dict[str, Any], side: int) -> None:
        size = settings.get("size", {"shortest_edge": side})
        size = {"shortest_edge": size} if isinstance(size, int) else size
        self._edge = int(size.get("shortest_edge") or min(size.get("height", side), 10**6))
        self._crops = bool(settings.get("do_center_crop", True))
        self._side = side
        self._filter = Image.Resampling(settings.get("resample", Image.Resampling.BICUBIC))
        self._mean = np.array(settings.get("image_mean", OPENAI_CLIP_MEAN), np.float32)
        self._deviation = np.array(settings.get("image_std", OPENAI_CLIP_STD), np.float32)

    def __call__(self, images: Sequence[Image.Image]) -> Tensor:
        """Return (n, 3, side, side) float32 pixels."""
        values = np.stack([np.asarray(self._square(image), np.float32) for image in images])
        scaled = (values / 255 - self._mean) / self._deviation
        return torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))

    def _square(self, image: Image.Image) -> Image.Image:
        short = min(image.size)
        width, height = (max(self._side, side * self._edge // short) for side in image.size)
        if not self._crops:
            return image.resize((self._side, self._side), self._filter)
        left, top = (width - self._side) // 2, (height - self._side) // 2
        return image.resize((width, height), self._filter).crop(
            (left, top, left + self._side, top + self._side)
        )


def _processor_settings(checkpoint: str, options: dict[str, Any]) -> dict[str, Any]:
    """Read `preprocessor_config.json`; empty without one, and CLIP's settings hold then."""
    known = {key: value for key, value in options.items() if key == "revision"}
    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(checkpoint, **known)
    except OSError:
        return {}
    return dict(settings)
