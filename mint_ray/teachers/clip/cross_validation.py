"""Chooses how the classifiers of a tissue teacher are regularised and joined.

By their likelihood on training groups that are left out in turn; nothing but training groups is
looked at.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mint_ray.common.arrays import Floats, Floats32, Ints
from mint_ray.config.teacher import TeacherConfig
from mint_ray.teachers.clip.contrastive import JointSpace, Pairs, aligned_space, fit_space
from mint_ray.teachers.clip.description_numbers import usual_count
from mint_ray.teachers.clip.encoders.base import Projections
from mint_ray.teachers.clip.ensemble import (
    Blend,
    choose_blend,
    deal_folds,
    even_blend,
    laplace_smoothing,
    mean_loss,
)
from mint_ray.teachers.clip.examples import Examples
from mint_ray.teachers.clip.heads import JOINT, PROBE, WORDS, renormalise, word_blocks, word_columns
from mint_ray.teachers.clip.logistic import Linear, balanced_weights, fit_linear

FOLDS = 4
"""Parts of the training groups that are left out in turn."""
STRENGTHS = (0.1, 1.0, 10.0)
"""Multiples of `teacher.clip.probe_strength` that are tried."""


@dataclass(frozen=True)
class Choice:
    """What cross-validation found best."""

    probe: float
    """Strength of the probe of image features."""
    words: float
    """Strength of the probe of descriptions."""
    image_blend: Blend
    full_blend: Blend | None
    """None where descriptions are not used."""


class HeadFitter:
    """Fits single classifiers on some rows of the training examples.

    Attributes:
        train: the examples, at least one.
        seen: (n_seen,) catalogue indices of their labels.
        classes: (n,) position of each example's label in `seen`.
        weights: (n,) labels alike, and groups alike within each.
        with_words: whether descriptions are used.
        n_numbers: numbers that a description of the usual form states.
        strength: `teacher.clip.probe_strength`.
    """

    def __init__(
        self,
        train: Examples,
        prompts: Floats32,
        projections: Projections | None,
        settings: TeacherConfig,
        seed: int,
    ) -> None:
        self.train, self.seed, self.strength = train, seed, settings.clip.probe_strength
        self.seen, self.classes = np.unique(train.labels, return_inverse=True)
        self.weights = balanced_weights(self.classes, train.groups)
        self.with_words = settings.name == "clip_fusion" and bool(train.described.any())
        self.n_numbers = usual_count([text for text in train.descriptions if text])
        self._prompts, self._alignment, self._settings = prompts, projections, settings

    @property
    def contrastive(self) -> bool:
        """Whether the joint space is fitted, and joined with the probe."""
        return self._settings.clip.fit == "contrastive"

    def fit_probe(self, rows: Ints, strengths: tuple[float, ...]) -> list[Linear]:
        """Classifiers of all views of the images, one per strength in ascending order."""
        images = self.train.images[rows]
        views = images.shape[1]
        return fit_linear(
            images.reshape(-1, images.shape[2]),
            (images.shape[2],),
            np.repeat(self.classes[rows], views),
            np.repeat(self.weights[rows], views) / views,
            len(self.seen),
            strengths,
        )

    def fit_words(self, rows: Ints, strengths: tuple[float, ...]) -> list[Linear]:
        """Classifiers of the descriptions, of those rows that have one."""
        rows = rows[self.train.described[rows]]
        return fit_linear(
            self.words(rows),
            word_blocks(self.train.texts.shape[1], self.n_numbers),
            self.classes[rows],
            self.weights[rows],
            len(self.seen),
            strengths,
        )

    def fit_joint(
        self, rows: Ints, report: Callable[[dict[str, float]], None] = lambda metrics: None
    ) -> JointSpace | None:
        """The joint space: fitted, or as the checkpoint has it; None without either."""
        if not self.contrastive:
            known = self._alignment
            return aligned_space(known, self._prompts) if known else None
        train = self.train
        pairs = Pairs(
            train.images[rows],
            train.labels[rows],
            self.weights[rows],
            train.texts[rows],
            train.described[rows],
        )
        return fit_space(pairs, self._prompts, self._alignment, self._settings, self.seed, report)

    def words(self, rows: Ints) -> Floats32:
        """Features of the descriptions of some rows."""
        texts = [self.train.descriptions[row] for row in rows]
        return word_columns(texts, self.train.texts[rows], self.n_numbers)


def cross_validate(fitter: HeadFitter) -> Choice:
    """Strengths and blends of least loss on left-out groups.

    Rows of a label that has no other group are not judged; with none to judge, the middle
    strength and even blends are taken.
    """
    strengths = tuple(fitter.strength * multiple for multiple in STRENGTHS)
    names = [PROBE, JOINT] if fitter.contrastive else [PROBE]
    judged, log_probs_by_classifier = _left_out(fitter, strengths)
    middle = strengths[len(strengths) // 2]
    if not len(judged):
        full = even_blend([*names, WORDS]) if fitter.with_words else None
        return Choice(middle, middle, even_blend(names), full)
    classes, weights = fitter.classes[judged], fitter.weights[judged]
    smoothing = laplace_smoothing(len(np.unique(fitter.train.groups)))
    probe = _best(log_probs_by_classifier[PROBE], classes, weights, smoothing)
    image = {PROBE: log_probs_by_classifier[PROBE][probe]}
    if fitter.contrastive:
        image[JOINT] = log_probs_by_classifier[JOINT][0]
    blend = choose_blend(image, classes, weights, smoothing)
    words, full = middle, None
    if fitter.with_words:
        told = fitter.train.described[judged]
        of_words = [log_probs[told] for log_probs in log_probs_by_classifier[WORDS]]
        best = _best(of_words, classes[told], weights[told], smoothing)
        every = {name: log_probs[told] for name, log_probs in image.items()} | {
            WORDS: of_words[best]
        }
        words = strengths[best]
        full = choose_blend(every, classes[told], weights[told], smoothing)
    return Choice(strengths[probe], words, blend, full)


def _left_out(
    fitter: HeadFitter, strengths: tuple[float, ...]
) -> tuple[Ints, dict[str, list[Floats]]]:
    """Rows (m,), and of each classifier (m, n_seen) per strength, by fits without their groups."""
    train = fitter.train
    folds = deal_folds(fitter.classes, train.groups, FOLDS, fitter.seed)
    judged: list[Ints] = []
    found: dict[str, list[list[Floats]]] = {PROBE: [], JOINT: [], WORDS: []}
    for fold in range(FOLDS):
        rest = np.flatnonzero(folds != fold)
        known = np.isin(fitter.classes, fitter.classes[rest])
        held = np.flatnonzero((folds == fold) & known)
        if not len(held):
            continue
        judged.append(held)
        images = train.images[held, 0]
        found[PROBE].append([c.log_probs(images) for c in fitter.fit_probe(rest, strengths)])
        if fitter.contrastive:
            joint = fitter.fit_joint(rest)
            assert joint is not None
            found[JOINT].append([renormalise(joint.log_probs(images)[:, fitter.seen])])
        if fitter.with_words:
            words = fitter.words(held)
            found[WORDS].append([c.log_probs(words) for c in fitter.fit_words(rest, strengths)])
    rows = np.concatenate(judged) if judged else np.zeros(0, dtype=np.int64)
    joined = {
        name: [np.concatenate(parts) for parts in zip(*folds_of, strict=True)]
        for name, folds_of in found.items()
    }
    return rows, joined


def _best(
    log_probs_by_strength: list[Floats], classes: Ints, weights: Floats, smoothing: float
) -> int:
    """The strength of least loss, each at its best temperature."""
    losses = []
    for log_probs in log_probs_by_strength:
        blend = choose_blend({PROBE: log_probs}, classes, weights, smoothing)
        cooled = blend.log_probs({PROBE: log_probs})
        losses.append(mean_loss(cooled, classes, weights, smoothing))
    return int(np.argmin(losses))
