"""Pretraining of a new projector on captions of drawn tiles; all other weights are frozen.

The frozen image encoder's features are computed once. A step costs a forward and a backward pass of
the frozen language model, without gradients of its weights. Source of the recipe: the first stage
of LLaVA, arXiv 2304.08485.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mint_ray.images.efficientnet_lite import SIDE, to_pixels
from mint_ray.images.tissue.captioned import draw_captioned_tiles

logger = logging.getLogger(__name__)

QUESTION = "Describe the tile."


@dataclass(frozen=True)
class PretrainingSpec:
    """Length and speed of the pretraining: `tiles` are drawn, each used `epochs` times."""

    tiles: int = 480
    epochs: int = 1
    batch_size: int = 8
    learning_rate: float = 1e-2
    seed: int = 0


class Captions(NamedTuple):
    """Drawn tiles as image features, and the token ids around them.

    `features` (n, tokens, width) are the image encoder's. `before` and `after` are the prompt's
    tokens on both sides of an image. `captions` are each image's caption with the token that ends
    it.
    """

    features: Tensor
    before: list[int]
    after: list[int]
    captions: list[list[int]]

    def __len__(self) -> int:
        return len(self.captions)


def pretrain_projector(
    model: Any, processor: Any, spec: PretrainingSpec | None = None
) -> list[float]:
    """Train the projector of a LLaVA model in place.

    Args:
        model: `LlavaForConditionalGeneration`.
        processor: its processor, whose chat template asks for the captions.
        spec: None for the defaults.

    Returns:
        Mean negative log-likelihood of a caption's token at every step, in nats.
    """
    spec = spec or PretrainingSpec()
    data = encode_captions(model, processor, spec)
    model.requires_grad_(False)
    projector = model.model.multi_modal_projector.requires_grad_(True)
    init_projector(projector, data.features, model.get_input_embeddings().weight)
    steps = -(-len(data) // spec.batch_size) * spec.epochs
    optimizer = torch.optim.AdamW(projector.parameters(), lr=spec.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, spec.learning_rate, total_steps=steps + 1, pct_start=0.1
    )
    generator = torch.Generator().manual_seed(spec.seed)
    losses: list[float] = []
    for _ in range(spec.epochs):
        order = torch.randperm(len(data), generator=generator).tolist()
        for at in range(0, len(order), spec.batch_size):
            loss = caption_loss(model, data, order[at : at + spec.batch_size])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(projector.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            if len(losses) % 10 == 0 or len(losses) == steps:
                logger.info(
                    "projector pretraining: step %d of %d, loss %.3f",
                    len(losses),
                    steps,
                    losses[-1],
                )
    model.requires_grad_(True)
    return losses


def caption_loss(model: Any, data: Captions, chosen: Sequence[int]) -> Tensor:
    """Compute the mean negative log-likelihood of the chosen images' caption tokens, in nats."""
    captions = [data.captions[index] for index in chosen]
    width = max(map(len, captions))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in captions])
    real = torch.arange(width) < torch.tensor([[len(row)] for row in captions])
    embed = model.get_input_embeddings()

    def repeated(tokens: list[int]) -> Tensor:
        embedded: Tensor = embed(torch.tensor([tokens])).expand(len(chosen), -1, -1)
        return embedded

    images = model.model.multi_modal_projector(data.features[list(chosen)])
    inputs = torch.cat([repeated(data.before), images, repeated(data.after), embed(ids)], dim=1)
    hidden = model.model.language_model(inputs_embeds=inputs, use_cache=False).last_hidden_state
    predicting = hidden[:, -width - 1 : -1][real]
    return F.cross_entropy(model.lm_head(predicting), ids[real])


def encode_captions(model: Any, processor: Any, spec: PretrainingSpec) -> Captions:
    """Draw the practice tiles and compute their features, once."""
    tokenizer = processor.tokenizer
    content = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )

    def tokens(text: str) -> list[int]:
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    before, _, after = prompt.partition(processor.image_token)
    features, captions, batch = [], [], []
    with torch.inference_mode():
        for number, tile in enumerate(draw_captioned_tiles(spec.tiles, SIDE, spec.seed), 1):
            batch.append(tile.image)
            captions.append(tokens(tile.caption + tokenizer.eos_token))
            if len(batch) == spec.batch_size or number == spec.tiles:
                features.append(model.model.vision_tower(to_pixels(batch)).last_hidden_state)
                batch = []
    return Captions(torch.cat(features).clone(), tokens(before), tokens(after), captions)


def init_projector(projector: Any, features: Tensor, embeddings: Tensor) -> None:
    """Set the projector's weights so that learning starts well.

    Its first layer whitens the features, and its outputs are as large as word embeddings.
    """
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
