"""Frozen encoders that install as packages: EfficientNet-Lite0 and MiniLM."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from mint_ray.common.arrays import Floats32
from mint_ray.common.devices import pick_device
from mint_ray.common.digests import sha256
from mint_ray.encoders.batches import in_parts
from mint_ray.encoders.sentences import SentenceEncoder
from mint_ray.images.efficientnet_lite import load_efficientnet, to_pixels, weights_file
from mint_ray.teachers.clip.encoders.base import EMBEDDED, Projections

LAYERS = (4, 7, 10)
"""Blocks of EfficientNet-Lite0 whose outputs are pooled: the last ones of 40, 80 and 112 channels.

Features of ImageNet networks carry over to histology from the middle of the network, where they
are textures, rather than from its end, where they are objects. CLAM (Lu et al., 2021, Nat Biomed
Eng 5:555-570) takes them after the third of four stages. Blocks after the last of these are not
run.
"""


class EmbeddedEncoders:
    """EfficientNet-Lite0 (images) and MiniLM (texts), which install as packages.

    They were not trained together, so they cannot classify without a fit.
    """

    projections: Projections | None = None

    def __init__(self) -> None:
        self._device = pick_device()
        self._sentences = SentenceEncoder(self._device)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Return the version of the text package and the hashes of the weights."""
        return {
            "checkpoint": EMBEDDED,
            "layers": list(LAYERS),
            "image": sha256(weights_file())[:16],
            "text": self._sentences.weights,
            "versions": self._sentences.versions,
        }

    def images(self, images: Sequence[Image.Image]) -> Floats32:
        """Return means and deviations of each channel of `LAYERS`: (n, 2 × (40 + 80 + 112))."""
        return in_parts(lambda part: self._image_features(to_pixels(part)), images)

    def texts(self, texts: Sequence[str]) -> Floats32:
        """Return the features of `SentenceEncoder`: (n, 384)."""
        return self._sentences.encode(texts)

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
