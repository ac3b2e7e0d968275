"""Joint space of images and texts: projections fitted by supervised contrastive learning."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor, nn
from torch.nn import functional as F

from mint_ray.common.arrays import Bools, Floats, Floats32, Ints
from mint_ray.common.devices import pick_device
from mint_ray.config.teacher import TeacherConfig
from mint_ray.teachers.clip.encoders.base import Projections
from mint_ray.teachers.optimiser import Optimiser

FIRST_SCALE = 10.0
"""Initial factor of the cosine similarities where no checkpoint gives one; it is learned."""
MOST_SCALE = 100.0
"""Upper bound of that factor."""
ALIGNED_RATE = 0.05
"""Learning rate of projections that a checkpoint brings, relative to new ones."""


@dataclass(frozen=True)
class JointSpace:
    """Zero-shot classification: softmax of scaled cosine similarities to the labels."""

    mean: Floats32
    """(image_width,) subtracted from image features."""
    factor: Floats32
    """(image_width,) multiplied with image features after that."""
    image: Floats32
    """(width, image_width) projection."""
    labels: Floats32
    """(n_labels, width) of length one: the mean direction of each label's prompts."""
    scale: Floats32
    """(1,) factor of the cosine similarities."""

    def log_probs(self, features: Floats32) -> Floats:
        """Return (n, n_labels) log-probabilities for (n, image_width) features."""
        projected = ((features - self.mean) * self.factor).astype(np.float64) @ self.image.T
        scores: Floats = log_softmax(float(self.scale[0]) * _unit(projected) @ self.labels.T, 1)
        return scores

    def tensors(self) -> dict[str, Tensor]:
        """Return plain arrays from which `of_tensors` makes an equal space."""
        return {name: torch.from_numpy(value) for name, value in vars(self).items()}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> "JointSpace":
        """Make the space that gave these `tensors`."""
        return cls(**{name: value.numpy() for name, value in tensors.items()})


@dataclass(frozen=True)
class Pairs:
    """Training images with their labels and descriptions, encoded."""

    images: Floats32
    """(n, views, image_width)."""
    labels: Ints
    """(n,) catalogue indices."""
    weights: Floats
    """(n,) chances to be drawn, up to a common factor."""
    texts: Floats32
    """(n, text_width) of the descriptions; rows without a description are not used."""
    described: Bools
    """(n,) whether the image has a description."""


def aligned_space(projections: Projections, prompts: Floats32) -> JointSpace:
    """Return the joint space of a checkpoint, without any fit.

    Args:
        projections: of the checkpoint.
        prompts: (n_labels, n_templates, text_width) features of the labels' prompts.
    """
    width = projections.image.shape[1]
    return JointSpace(
        mean=np.zeros(width, np.float32),
        factor=np.ones(width, np.float32),
        image=projections.image.numpy(),
        labels=_directions(prompts, projections.text.numpy()),
        scale=np.array([projections.scale], np.float32),
    )


def fit_space(
    pairs: Pairs,
    prompts: Floats32,
    projections: Projections | None,
    config: TeacherConfig,
    seed: int,
    report: Callable[[dict[str, float]], None],
) -> JointSpace:
    """Fit the projections and the scale of a joint space.

    Every batch holds images, drawn by their weights, each with a random prompt of its label, and
    with its description where it has one. Images and texts of the same label are positive pairs.

    Args:
        pairs: training images with labels and descriptions.
        prompts: (n_labels, n_templates, text_width) features of the labels' prompts.
        projections: of a checkpoint, to start from; None starts at random.
        config: of the teacher.
        seed: of the batches and of random projections.
        report: called after every epoch with `step` (epochs done) and `loss`.
    """
    rng, random = np.random.default_rng([seed, 3]), torch.Generator().manual_seed(seed)
    device = pick_device()
    flat = pairs.images.reshape(-1, pairs.images.shape[-1])
    mean, factor = np.zeros_like(flat[0]), np.ones_like(flat[0])
    if projections is None:
        deviation = flat.std(0)
        mean, factor = flat.mean(0), np.where(deviation > 1e-4, 1 / (deviation + 1e-4), 0)
    first = (projections.image, projections.text) if projections else (None, None)
    widths = (flat.shape[1], prompts.shape[-1])
    image, text = (
        nn.Parameter(_projection(known, config.clip.width, width, random).to(device))
        for known, width in zip(first, widths, strict=True)
    )
    scale_at_first = torch.tensor(projections.scale if projections else FIRST_SCALE)
    log_scale = nn.Parameter(scale_at_first.log().to(device))
    count, chance = len(pairs.labels), pairs.weights / pairs.weights.sum()
    size = min(config.batch_size, max(16, count // 4))
    steps = -(-count // size)
    rate = config.learning_rate * (ALIGNED_RATE if projections else 1)
    optimiser = Optimiser(
        [image, text, log_scale], rate, config.weight_decay, steps * config.clip.epochs
    )
    factor = factor.astype(np.float32)
    for epoch in range(config.clip.epochs):
        total = 0.0
        for _ in range(steps):
            rows = rng.choice(count, size, p=chance)
            views = pairs.images[rows, rng.integers(pairs.images.shape[1], size=size)]
            label_texts = prompts[pairs.labels[rows], rng.integers(prompts.shape[1], size=size)]
            x = _project((views - mean) * factor, image)
            scale, classes = log_scale.exp().clamp(max=MOST_SCALE), pairs.labels[rows]
            loss = supervised_contrastive(x, _project(label_texts, text), classes, classes, scale)
            described = rows[pairs.described[rows]]
            if len(described):
                descriptions = _project(pairs.texts[described], text)
                loss = 0.5 * loss + 0.5 * supervised_contrastive(
                    x, descriptions, classes, pairs.labels[described], scale
                )
            optimiser.step(loss)
            total += loss.item()
        report({"step": float(epoch + 1), "loss": total / steps})
    return JointSpace(
        mean=mean.astype(np.float32),
        factor=factor,
        image=image.detach().cpu().numpy(),
        labels=_directions(prompts, text.detach().cpu().numpy()),
        scale=log_scale.detach().exp().clamp(max=MOST_SCALE).reshape(1).cpu().numpy(),
    )


def supervised_contrastive(
    images: Tensor, texts: Tensor, image_labels: Ints, text_labels: Ints, scale: Tensor
) -> Tensor:
    """Return the mean of −log softmax over the positives of each row, in both directions.

    This is the loss L_out of Khosla et al. (2020, NeurIPS, arXiv 2004.11362) between modalities.
    Where all labels differ it is CLIP's loss.

    Args:
        images: (n, width) of length one.
        texts: (m, width) of length one.
        image_labels: (n,).
        text_labels: (m,); pairs with equal labels are positive. Rows without a positive do not
            count.
        scale: factor of the cosine similarities.
    """
    logits = scale * images @ texts.T
    same_label = image_labels[:, None] == text_labels[None, :]
    positive = torch.from_numpy(same_label).to(logits.device).float()
    losses = []
    for scores, same in ((logits, positive), (logits.T, positive.T)):
        counts = same.sum(1)
        each = -(F.log_softmax(scores, dim=1) * same).sum(1) / counts.clamp_min(1)
        losses.append(each.sum() / (counts > 0).sum().clamp_min(1))
    return (losses[0] + losses[1]) / 2


def _project(features: Floats32, projection: Tensor) -> Tensor:
    """Return (n, width) projected features of length one, on the device of the projection."""
    return F.normalize(torch.from_numpy(features).to(projection.device) @ projection.T, dim=1)


def _projection(known: Tensor | None, width: int, inputs: int, random: torch.Generator) -> Tensor:
    if known is not None:
        return known.clone()
    return torch.randn(width, inputs, generator=random).div(inputs**0.5)


def _directions(prompts: Floats32, projection: Floats32) -> Floats32:
    """Return (n_labels, width): the normalised mean of each label's normalised prompts (CLIP)."""
    return _unit(_unit(prompts @ projection.T).mean(1)).astype(np.float32)


def _unit(values: NDArray[np.floating]) -> NDArray[np.floating]:
    norms = np.linalg.norm(values, axis=-1, keepdims=True)
    unit: NDArray[np.floating] = values / np.maximum(norms, 1e-12)
    return unit
