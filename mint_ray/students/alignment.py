"""Teaches a new projector what image features mean: it alone learns, on captions of drawn tiles.

The image encoder is frozen, so its features are computed once; the language model is frozen,
so a step costs a forward and a backward pass without its weights' gradients. Source of the
recipe: the first stage of LLaVA, arXiv 2304.08485.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mint_ray.cases.practice_tiles import practice_tiles
from mint_ray.images.efficientnet_lite import SIDE, to_pixels

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Alignment:
    """How long and how fast: `tiles` drawn, each seen `epochs` times."""

    tiles: int = 1200
    epochs: int = 1
    batch_size: int = 16
    learning_rate: float = 2e-3
    seed: int = 0


def align(model: Any, tokenizer: Any, settings: Alignment | None = None) -> list[float]:
    """Train the projector of a LLaVA model in place.

    Args:
        model: `LlavaForConditionalGeneration`.
        tokenizer: of its language model; captions end with its end-of-sequence token.
        settings: None for the defaults.

    Returns:
        Mean negative log-likelihood of a caption's token at every step, in nats.
    """
    settings = settings or Alignment()
    features, captions = _look(model, tokenizer, settings)
    model.requires_grad_(False)
    projector = model.model.multi_modal_projector.requires_grad_(True)
    _condition(projector, features, model.get_input_embeddings().weight)
    steps = -(-len(captions) // settings.batch_size) * settings.epochs
    optimizer = torch.optim.AdamW(projector.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=steps + 1, pct_start=0.1
    )
    generator = torch.Generator().manual_seed(settings.seed)
    losses: list[float] = []
    for _ in range(settings.epochs):
        order = torch.randperm(len(captions), generator=generator).tolist()
        for at in range(0, len(order), settings.batch_size):
            chosen = order[at : at + settings.batch_size]
            loss = caption_loss(model, features[chosen], [captions[i] for i in chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(projector.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            if len(losses) % 10 == 0 or len(losses) == steps:
                logger.info("alignment: step %d of %d, loss %.3f", len(losses), steps, losses[-1])
    model.requires_grad_(True)
    return losses


def caption_loss(model: Any, features: Tensor, captions: Sequence[Sequence[int]]) -> Tensor:
    """Mean negative log-likelihood of captions (token ids) after their image features (n, t, d)."""
    shown = model.model.multi_modal_projector(features)
    width = max(map(len, captions))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in captions])
    real = torch.arange(width) < torch.tensor([[len(row)] for row in captions])
    words = model.get_input_embeddings()(ids)
    hidden = model.model.language_model(
        inputs_embeds=torch.cat([shown, words], dim=1), use_cache=False
    ).last_hidden_state
    predicting = hidden[:, shown.shape[1] - 1 : -1][real]
    return F.cross_entropy(model.lm_head(predicting), ids[real])


def _look(model: Any, tokenizer: Any, settings: Alignment) -> tuple[Tensor, list[list[int]]]:
    """Features (n, tokens, width) of the practice tiles, and their captions' token ids."""
    features, captions, waiting = [], [], []
    with torch.inference_mode():
        for number, tile in enumerate(practice_tiles(settings.tiles, SIDE, settings.seed), 1):
            waiting.append(tile.image)
            text = tile.caption + tokenizer.eos_token
            captions.append(tokenizer(text, add_special_tokens=False)["input_ids"])
            if len(waiting) == settings.batch_size or number == settings.tiles:
                features.append(model.model.vision_tower(to_pixels(waiting)).last_hidden_state)
                waiting = []
    return torch.cat(features).clone(), captions


def _condition(projector: Any, features: Tensor, embeddings: Tensor) -> None:
    """Start where learning is easy: features whitened, outputs as large as word embeddings."""
    flat = features.flatten(0, 1)
    mean, deviation = flat.mean(0), flat.std(0).clamp(min=1e-3)
    generator = torch.Generator().manual_seed(0)
    first, second = projector.linear_1, projector.linear_2
    with torch.no_grad():
        weights = torch.randn(first.weight.shape, generator=generator) / flat.shape[1] ** 0.5
        first.weight.copy_(weights / deviation)
        first.bias.copy_(-first.weight @ mean)
        weights = torch.randn(second.weight.shape, generator=generator)
        hidden = projector.act(first(flat[:1024]))
        scale = embeddings.std() / (hidden @ weights.T).std()
        second.weight.copy_(weights * scale)
        second.bias.zero_()
