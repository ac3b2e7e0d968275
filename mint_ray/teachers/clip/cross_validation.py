"""Cross-validated regularisation and blending of a tissue teacher's classifiers.

The strengths and blends with the highest likelihood on training groups that are left out in turn
are taken. Only training groups are used.
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
"""Multiples of `teacher.clip.probe_strength` that are compared."""


@dataclass(frozen=True)
class Choice:
    """Strengths and blends with the least cross-validated loss."""

    probe: float
    """Strength of the probe of image features."""
    words: float
    """Strength of the probe of descriptions."""
    image_blend: Blend
    full_blend: Blend | None
    """None where descriptions are not used."""


class HeadFitter:
    """Fitting of single classifiers on some rows of the training examples.

    Attributes:
        train: the examples, at least one.
        seen: (n_seen,) catalogue indices of their labels.
        classes: (n,) position of each example's label in `seen`.
        weights: (n,) with mean one: labels count alike, and groups alike within each label.
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
        self._prompts, self._projections, self._settings = prompts, projections, settings

    @property
    def contrastive(self) -> bool:
        """Whether the joint space is fitted, and joined with the probe."""
        return self._settings.clip.fit == "contrastive"

    def fit_probe(self, rows: Ints, strengths: tuple[float, ...]) -> list[Linear]:
        """Fit classifiers of all views of the images, one per strength in ascending order."""
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
        """Fit classifiers of the descriptions on the rows that have one, one per strength."""
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
        """Fit the joint space, or return the checkpoint's space where it is not fitted.

        Returns:
            None where the space is not fitted and the encoders have no projections.
        """
        if not self.contrastive:
            projections = self._projections
            return aligned_space(projections, self._prompts) if projections else None
        train = self.train
        pairs = Pairs(
            train.images[rows],
            train.labels[rows],
            self.weights[rows],
            train.texts[rows],
            train.described[rows],
        )
        return fit_space(pairs, self._prompts, self._projections, self._settings, self.seed, report)

    def words(self, rows: Ints) -> Floats32:
        """Return the `word_columns` of the descriptions of some rows."""
        texts = [self.train.descriptions[row] for row in rows]
        return word_columns(texts, self.train.texts[rows], self.n_numbers)


def cross_validate(fitter: HeadFitter) -> Choice:
    """Choose the strengths and blends with the least loss on left-out groups.

    Rows of a label with a single group cannot be scored by a fit without that group, and are left
    out. Where no row can be scored, the middle strength and even blends are taken.
    """
    strengths = tuple(fitter.strength * multiple for multiple in STRENGTHS)
    names = [PROBE, JOINT] if fitter.contrastive else [PROBE]
    rows, log_probs_by_classifier = _held_out_log_probs(fitter, strengths)
    middle = strengths[len(strengths) // 2]
    if not len(rows):
        full = even_blend([*names, WORDS]) if fitter.with_words else None
        return Choice(middle, middle, even_blend(names), full)
    classes, weights = fitter.classes[rows], fitter.weights[rows]
    smoothing = laplace_smoothing(len(np.unique(fitter.train.groups)))
    probe = _best_strength(log_probs_by_classifier[PROBE], classes, weights, smoothing)
    image = {PROBE: log_probs_by_classifier[PROBE][probe]}
    if fitter.contrastive:
        image[JOINT] = log_probs_by_classifier[JOINT][0]
    blend = choose_blend(image, classes, weights, smoothing)
    words, full = middle, None
    if fitter.with_words:
        described = fitter.train.described[rows]
        of_words = [log_probs[described] for log_probs in log_probs_by_classifier[WORDS]]
        best = _best_strength(of_words, classes[described], weights[described], smoothing)
        image_and_words = {name: log_probs[described] for name, log_probs in image.items()} | {
            WORDS: of_words[best]
        }
        words = strengths[best]
        full = choose_blend(image_and_words, classes[described], weights[described], smoothing)
    return Choice(strengths[probe], words, blend, full)


def _held_out_log_probs(
    fitter: HeadFitter, strengths: tuple[float, ...]
) -> tuple[Ints, dict[str, list[Floats]]]:
    """Score each row by classifiers that were fitted without its group.

    Returns:
        Rows (m,), and by name of the classifier their (m, n_seen) log-probabilities per strength.
        The joint space has one entry, since it has no strength.
    """
    train = fitter.train
    folds = deal_folds(fitter.classes, train.groups, FOLDS, fitter.seed)
    held_out_by_fold: list[Ints] = []
    by_fold: dict[str, list[list[Floats]]] = {PROBE: [], JOINT: [], WORDS: []}
    for fold in range(FOLDS):
        fitted = np.flatnonzero(folds != fold)
        known = np.isin(fitter.classes, fitter.classes[fitted])
        held_out = np.flatnonzero((folds == fold) & known)
        if not len(held_out):
            continue
        held_out_by_fold.append(held_out)
        images = train.images[held_out, 0]
        by_fold[PROBE].append([c.log_probs(images) for c in fitter.fit_probe(fitted, strengths)])
        if fitter.contrastive:
            joint = fitter.fit_joint(fitted)
            assert joint is not None
            by_fold[JOINT].append([renormalise(joint.log_probs(images)[:, fitter.seen])])
        if fitter.with_words:
            words = fitter.words(held_out)
            by_fold[WORDS].append([c.log_probs(words) for c in fitter.fit_words(fitted, strengths)])
    rows = np.concatenate(held_out_by_fold) if held_out_by_fold else np.zeros(0, dtype=np.int64)
    log_probs_by_classifier = {
        name: [np.concatenate(parts) for parts in zip(*folds_of, strict=True)]
        for name, folds_of in by_fold.items()
    }
    return rows, log_probs_by_classifier


def _best_strength(
    log_probs_by_strength: list[Floats], classes: Ints, weights: Floats, smoothing: float
) -> int:
    """Return the position of the strength with the least loss, each at its best temperature."""
    losses = []
    for log_probs in log_probs_by_strength:
        blend = choose_blend({PROBE: log_probs}, classes, weights, smoothing)
        cooled = blend.log_probs({PROBE: log_probs})
        losses.append(mean_loss(cooled, classes, weights, smoothing))
    return int(np.argmin(losses))
