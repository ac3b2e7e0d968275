"""Fit of the tissue teachers on frozen features."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mint_ray.common.arrays import Floats, Floats32
from mint_ray.common.collectives import rank, wait_for_all
from mint_ray.config.config import Config
from mint_ray.config.teacher import TeacherConfig
from mint_ray.errors import ConfigError, TeacherError
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.teachers.clip.contrastive import aligned_space
from mint_ray.teachers.clip.cross_validation import HeadFitter, cross_validate
from mint_ray.teachers.clip.encoders.base import EMBEDDED, Encoders, Projections
from mint_ray.teachers.clip.encoders.load import load_encoders
from mint_ray.teachers.clip.ensemble import laplace_smoothing, mean_loss
from mint_ray.teachers.clip.examples import Examples, read_examples
from mint_ray.teachers.clip.heads import Heads
from mint_ray.teachers.clip.teacher import CLIP, CLIP_FUSION, save_clip

logger = logging.getLogger(__name__)

Report = Callable[[dict[str, float]], None]


def fit_clip(source: Path, config: Config, out: Path, report: Report) -> dict[str, float]:
    """Fit the teacher `clip` or `clip_fusion` and write it to `out`.

    Args:
        source: folder with `cases.parquet` and `catalogue.parquet`.
        config: of the run.
        out: folder that `load_teacher` reads; written by the first process.
        report: called after every epoch in every process, with `step` and `loss`.

    Returns:
        Top-1, top-3 and top-10 accuracy and the mean negative log-likelihood on the validation
        split, where there is one.

    Raises:
        ConfigError: the settings do not fit each other.
        TeacherError: there is no usable training case.
    """
    settings, seed = config.teacher, config.seed
    check_settings(settings)
    catalogue = Catalogue.read(source / "catalogue.parquet")
    encoders, file = load_encoders(settings.clip), source / "cases.parquet"
    prompts = encode_prompts(catalogue, settings.clip.templates, encoders)
    if settings.clip.fit == "none":
        heads = zero_shot_heads(prompts, encoders.projections)
    else:
        train = read_examples(file, "train", catalogue, encoders, settings.clip.views, seed)
        heads = fit_heads(train, prompts, encoders.projections, settings, seed, report)
    if rank() == 0:
        content = {"teacher": settings.model_dump(mode="json"), "seed": seed}
        save_clip(out, settings.name, catalogue, heads, encoders.facts, content)
    wait_for_all()
    return measure(heads, read_examples(file, "validation", catalogue, encoders, 1, seed))


def check_settings(settings: TeacherConfig) -> None:
    """Check that `teacher.clip.fit=none` can work with the other settings.

    Raises:
        ConfigError: `fit=none` with encoders that have no joint space, or with descriptions.
    """
    if settings.clip.fit != "none":
        return
    if settings.clip.checkpoint == EMBEDDED:
        raise ConfigError(
            "teacher.clip.fit=none needs a CLIP checkpoint: the embedded encoders were not trained "
            "on images and texts together; use fit=probe or contrastive, or another checkpoint"
        )
    if settings.name == CLIP_FUSION:
        raise ConfigError(
            f"teacher.clip.fit=none does not learn from descriptions; use teacher.name={CLIP}, or "
            "fit=probe or contrastive"
        )


def encode_prompts(
    catalogue: Catalogue, templates: tuple[str, ...], encoders: Encoders
) -> Floats32:
    """Return the features of every label's prompts, (n_labels, n_templates, text_width)."""
    texts = [template.replace("{}", name) for name in catalogue.names for template in templates]
    encoded = encoders.texts(texts)
    return encoded.reshape(len(catalogue), len(templates), -1)


def zero_shot_heads(prompts: Floats32, projections: Projections | None) -> Heads:
    """Return heads that classify by the joint space of the checkpoint, without any fit."""
    assert projections is not None  # see `check_settings`
    none = np.zeros(0, dtype=np.int64)
    space = aligned_space(projections, prompts)
    return Heads(len(prompts), none, 1.0, None, space, None, 0, None, None)


def fit_heads(
    train: Examples,
    prompts: Floats32,
    projections: Projections | None,
    settings: TeacherConfig,
    seed: int,
    report: Report,
) -> Heads:
    """Fit all classifiers on the training examples, with cross-validated strengths and blends.

    Raises:
        TeacherError: there are no examples.
    """
    if not len(train):
        raise TeacherError(
            "expected training cases with a usable image and a label of the catalogue, found none"
        )
    fitter = HeadFitter(train, prompts, projections, settings, seed)
    chosen, everything = cross_validate(fitter), np.arange(len(train))
    logger.info("[teacher] %s", chosen)
    heads = Heads(
        n_labels=len(prompts),
        seen=fitter.seen,
        unseen_share=laplace_smoothing(len(np.unique(train.groups))),
        probe=fitter.fit_probe(everything, (chosen.probe,))[0],
        joint=fitter.fit_joint(everything, report),
        words=fitter.fit_words(everything, (chosen.words,))[0] if fitter.with_words else None,
        n_numbers=fitter.n_numbers,
        image_blend=chosen.image_blend,
        full_blend=chosen.full_blend,
    )
    if settings.clip.fit == "probe":
        report({"step": 1.0, "loss": heads_loss(heads, train, fitter.weights)})
    return heads


def heads_loss(heads: Heads, examples: Examples, weights: Floats) -> float:
    """Return the weighted mean negative log-likelihood of the examples, by their images alone."""
    scores = heads.log_probs(examples.images[:, 0]).astype(np.float64)
    return mean_loss(scores, examples.labels, weights)


def measure(heads: Heads, held_out: Examples) -> dict[str, float]:
    """Return top-1, top-3 and top-10 accuracy and the mean negative log-likelihood.

    Unusable cases count as misses in the accuracies. Empty without a usable case.
    """
    if not len(held_out):
        return {}
    scores = heads.log_probs(held_out.images[:, 0], held_out.descriptions, held_out.texts)
    right = scores[np.arange(len(held_out)), held_out.labels]
    rank, count = 1 + (scores > right[:, None]).sum(axis=1), len(held_out) + held_out.skipped
    accuracies = {f"validation.top{k}": float((rank <= k).sum() / count) for k in (1, 3, 10)}
    return accuracies | {"validation.nll": float(-right.mean())}
