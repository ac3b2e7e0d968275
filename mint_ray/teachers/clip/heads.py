"""Classifiers of a tissue teacher on frozen features, and their blends."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mint_ray.common.arrays import Floats, Floats32, Ints
from mint_ray.teachers.clip.contrastive import JointSpace
from mint_ray.teachers.clip.description_numbers import number_columns
from mint_ray.teachers.clip.ensemble import Blend
from mint_ray.teachers.clip.logistic import Linear

PROBE, JOINT, WORDS = "probe", "joint", "words"
"""Names of the classifiers: image features, similarity to the labels' prompts, description."""

LEAST_UNSEEN, MOST_UNSEEN = 1e-4, 0.5
"""Bounds of the probability that the answer has no training image."""


@dataclass(frozen=True)
class Heads:
    """Classifiers of the labels with training images, and the probability left to the others."""

    n_labels: int
    seen: Ints
    """(n_seen,) catalogue indices of the labels with training images."""
    unseen_share: float
    """Probability that the answer is among the other labels; used only without `joint`."""
    probe: Linear | None
    """Image features to the seen labels."""
    joint: JointSpace | None
    """Image features to all labels."""
    words: Linear | None
    """Description to the seen labels."""
    n_numbers: int
    """Numbers that a description of the usual form states."""
    image_blend: Blend | None
    """How the classifiers of the image are joined; None where nothing was fitted."""
    full_blend: Blend | None
    """How all are joined for an image with a description."""

    def log_probs(
        self, images: Floats32, descriptions: Sequence[str] = (), texts: Floats32 | None = None
    ) -> Floats32:
        """Return (n, n_labels) log-probabilities.

        With unseen labels U, p(c) = p(U)·p(c | U) for those and (1 − p(U))·p(c | seen) for the
        others. p(U) and p(c | U) are those of the zero-shot classifier. Without one, p(U) is
        `unseen_share` and p(c | U) is even.

        Args:
            images: (n, image_width).
            descriptions: (n,); for "" the image alone counts, as it does where this is empty.
            texts: (n, text_width) of the descriptions.
        """
        everywhere = None if self.joint is None else self.joint.log_probs(images)
        if self.image_blend is None:
            assert everywhere is not None
            return everywhere.astype(np.float32)
        log_probs_by_classifier = self.image_log_probs(images, everywhere)
        scores = self.image_blend.log_probs(log_probs_by_classifier)
        rows = np.array([row for row, text in enumerate(descriptions) if text], dtype=np.int64)
        if self.words is not None and self.full_blend is not None and len(rows):
            assert texts is not None
            columns = word_columns([descriptions[i] for i in rows], texts[rows], self.n_numbers)
            full = {name: log_probs[rows] for name, log_probs in log_probs_by_classifier.items()}
            full[WORDS] = self.words.log_probs(columns)
            scores[rows] = self.full_blend.log_probs(full)
        return self._with_unseen(scores, everywhere).astype(np.float32)

    def image_log_probs(self, images: Floats32, everywhere: Floats | None) -> dict[str, Floats]:
        """Return (n, n_seen) log-probabilities of each classifier of the image, by its name.

        Args:
            images: (n, image_width).
            everywhere: (n, n_labels) log-probabilities of the joint space, if there is one.
        """
        by_classifier = {} if self.probe is None else {PROBE: self.probe.log_probs(images)}
        if everywhere is not None and self.image_blend and JOINT in self.image_blend.weights:
            by_classifier[JOINT] = renormalise(everywhere[:, self.seen])
        return by_classifier

    def _with_unseen(self, scores: Floats, everywhere: Floats | None) -> Floats:
        others = np.setdiff1d(np.arange(self.n_labels), self.seen)
        if not len(others):
            return scores
        if everywhere is None:
            everywhere = np.full((len(scores), self.n_labels), -np.log(self.n_labels))
            chance = np.full(len(scores), self.unseen_share)
        else:
            chance = np.exp(everywhere[:, others]).sum(1)
        chance = chance.clip(LEAST_UNSEEN, MOST_UNSEEN)[:, None]
        joined = np.empty((len(scores), self.n_labels))
        joined[:, self.seen] = np.log1p(-chance) + scores
        joined[:, others] = np.log(chance) + renormalise(everywhere[:, others])
        return joined

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all arrays; `facts` has the other fields."""
        tensors = {"seen": torch.from_numpy(self.seen)}
        for name, part in ((PROBE, self.probe), (JOINT, self.joint), (WORDS, self.words)):
            if part is not None:
                tensors |= {f"{name}.{key}": value for key, value in part.tensors().items()}
        return tensors

    def facts(self) -> dict[str, object]:
        """Return the fields that are not arrays, as plain JSON; see `of_tensors`."""
        facts = {
            "n_labels": self.n_labels,
            "unseen_share": self.unseen_share,
            "n_numbers": self.n_numbers,
            "image_blend": self.image_blend and vars(self.image_blend),
            "full_blend": self.full_blend and vars(self.full_blend),
        }
        return dict(json.loads(json.dumps(facts)))

    @classmethod
    def of_tensors(
        cls, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, object]
    ) -> "Heads":
        """Make the heads that gave these `tensors` and `facts`."""

        def part(name: str) -> dict[str, torch.Tensor]:
            start = f"{name}."
            return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}

        probe, joint, words = part(PROBE), part(JOINT), part(WORDS)
        fields: dict[str, object] = dict(facts)
        for name in ("image_blend", "full_blend"):
            blend = facts[name]
            fields[name] = Blend(**blend) if isinstance(blend, dict) else None
        return cls(
            seen=tensors["seen"].numpy(),
            probe=Linear.of_tensors(probe) if probe else None,
            joint=JointSpace.of_tensors(joint) if joint else None,
            words=Linear.of_tensors(words) if words else None,
            **fields,  # type: ignore[arg-type]
        )


def word_columns(descriptions: Sequence[str], texts: Floats32, n_numbers: int) -> Floats32:
    """Return (n, text_width + 2 × n_numbers): the embedding, and the stated numbers."""
    return np.concatenate([texts, number_columns(descriptions, n_numbers)], axis=1)


def word_blocks(text_width: int, n_numbers: int) -> tuple[int, ...]:
    """Return the widths of the blocks of `word_columns`."""
    return (text_width, 2 * n_numbers) if n_numbers else (text_width,)


def renormalise(scores: Floats) -> Floats:
    """Return the log-probabilities given that the answer is among these columns; same shape."""
    conditional: Floats = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return conditional
