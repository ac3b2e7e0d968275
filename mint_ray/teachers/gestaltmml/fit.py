"""Fit of the teacher `gestaltmml`: training of ViLT, or a finished classifier as it is."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch.nn import functional as F

from mint_ray.common.arrays import Ints
from mint_ray.common.collectives import rank, wait_for_all, world_size
from mint_ray.common.devices import pick_device
from mint_ray.config.config import Config
from mint_ray.config.teacher import GestaltMMLConfig
from mint_ray.errors import TeacherError
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.teachers.base import SEEN_COLUMNS, Report, batch_of
from mint_ray.teachers.gestaltmml.network import checkpoint_facts, class_logits, load_checkpoint
from mint_ray.teachers.gestaltmml.teacher import (
    GestaltClassifier,
    GestaltParts,
    GestaltTeacher,
    save_gestaltmml,
)
from mint_ray.teachers.held_out import accuracy
from mint_ray.teachers.label_lookup import LabelLookup
from mint_ray.teachers.optimiser import Optimiser
from mint_ray.teachers.recorded.scale import Scale, fit_scale
from mint_ray.teachers.recorded.table import RecordedScores

logger = logging.getLogger(__name__)

COPIES = ((True, True), (True, False), (False, True))
"""Copies of a training case: (has its image, has its words)."""


def fit_gestaltmml(source: Path, config: Config, out: Path, report: Report) -> dict[str, float]:
    """Train ViLT on training cases, or take a finished classifier, and write the teacher to `out`.

    The head knows the diseases of the training cases, or those of the label file. The scale of its
    probabilities, and the share of diseases that it does not know, come from validation cases.

    Args:
        source: folder with `cases.parquet` and `catalogue.parquet`.
        config: of the run.
        out: folder that `load_teacher` reads; written by the first process.
        report: called after every epoch in every process, with `step` and `loss`; once, with the
            loss of the scale, without training.

    Returns:
        Top-1, top-3 and top-10 accuracy on the validation split, where there is one, and the
        number of classes that the catalogue lacks.

    Raises:
        TeacherError: there is nothing to learn from, or the checkpoint cannot be used.
    """
    settings = config.teacher.gestaltmml
    rows = pc.field("split").isin(["train", "validation"])
    columns = [*SEEN_COLUMNS, "label_id", "split"]
    cases = pq.read_table(source / "cases.parquet", columns=columns, filters=rows)
    catalogue = Catalogue.read(source / "catalogue.parquet")
    train, held_out = (
        cases.filter(pc.equal(cases["split"], split)) for split in ("train", "validation")
    )
    torch.manual_seed(config.seed)
    if settings.fit == "train":
        parts = _new_classifier(settings, catalogue, train)
        _train(parts, train, settings, config.seed, report)
    else:
        parts = _finished_classifier(settings, catalogue)
    scale, loss = _fit_scale(parts, held_out)
    if settings.fit == "none":
        report({"step": 1.0, "loss": loss})
    if rank() == 0:
        facts = checkpoint_facts(settings, parts.model)
        tree = settings.model_dump(mode="json") | {"seed": config.seed}
        save_gestaltmml(out, parts, scale, facts | {"settings": tree})
    wait_for_all()
    metrics = accuracy(GestaltTeacher(parts, scale), held_out, catalogue)
    return metrics | {"unknown_classes": float((parts.classes < 0).sum())}


def _new_classifier(
    settings: GestaltMMLConfig, catalogue: Catalogue, train: pa.Table
) -> GestaltParts:
    labels = catalogue.indices_of(train["label_id"].to_pylist())
    classes = np.unique(labels[labels >= 0])
    if not len(classes):
        raise TeacherError(
            f"expected training cases with a label of the catalogue, found none among "
            f"{train.num_rows}; check the cases"
        )
    return _parts(settings, catalogue, classes, *load_checkpoint(settings, len(classes)))


def _finished_classifier(settings: GestaltMMLConfig, catalogue: Catalogue) -> GestaltParts:
    model, tokenizer = load_checkpoint(settings, None)
    if settings.labels is None:
        written = [model.config.id2label[i] for i in range(model.config.num_labels)]
    else:
        lines = settings.labels.read_text(encoding="utf-8").splitlines()
        written = [line.strip() for line in lines if line.strip()]
    if len(written) != model.config.num_labels:
        raise TeacherError(
            f"{settings.labels}: expected one label a line for the {model.config.num_labels} "
            f"classes of {settings.checkpoint}, found {len(written)} lines"
        )
    lookup = LabelLookup(catalogue)
    found = [lookup.by_any(text) for text in written]
    classes = np.array([-1 if index is None else index for index in found], dtype=np.int64)
    if not (classes >= 0).any():
        raise TeacherError(
            f"{settings.labels or settings.checkpoint}: expected ids or names of the catalogue's "
            f"{len(catalogue)} labels, found none among {len(written)}; name the classes in "
            "teacher.gestaltmml.labels"
        )
    return _parts(settings, catalogue, classes, model, tokenizer)


def _parts(
    settings: GestaltMMLConfig, catalogue: Catalogue, classes: Ints, model: Any, tokenizer: Any
) -> GestaltParts:
    most = model.config.max_position_embeddings
    if settings.text_tokens > most:
        raise TeacherError(
            f"teacher.gestaltmml.text_tokens={settings.text_tokens}: expected at most {most}, for "
            f"which {settings.checkpoint} has positions"
        )
    return GestaltParts(
        catalogue,
        model,
        tokenizer,
        classes,
        settings.text,
        settings.text_tokens,
        settings.image_side,
    )


def _train(
    parts: GestaltParts, train: pa.Table, settings: GestaltMMLConfig, seed: int, report: Report
) -> None:
    """Train all weights on the copies of every case; see `COPIES`."""
    model, maker, batch = parts.model.to(pick_device()).train(), parts.inputs(), batch_of(train)
    labels = parts.catalogue.indices_of(train["label_id"].to_pylist())
    texts = [maker.words(batch, row) for row in range(train.num_rows)]
    has_image = [not isinstance(maker.open(image), str | None) for image in batch["image"]]
    copies = [
        (row, with_image, with_text)
        for row in np.flatnonzero(labels >= 0).tolist()
        for with_image, with_text in COPIES
        if (has_image[row] or not with_image) and (texts[row] or not with_text)
    ]
    if not copies:
        raise TeacherError(
            "expected training cases with an image that can be read, or with words, found none "
            f"among {train.num_rows}"
        )
    steps = -(-len(copies) // settings.batch_size)
    optimiser = Optimiser(
        model.parameters(), settings.learning_rate, settings.weight_decay, steps * settings.epochs
    )
    classes = np.searchsorted(parts.classes, labels)
    for epoch in range(settings.epochs):
        order = np.random.default_rng([seed, 4, epoch]).permutation(len(copies))
        total = 0.0
        for start in range(0, len(order), settings.batch_size):
            chosen = [copies[i] for i in order[start : start + settings.batch_size]]
            local = chosen[rank() :: world_size()] or chosen[:1]
            shown = [texts[row] if with_text else "" for row, _, with_text in local]
            opened = [maker.open(batch["image"][row]) if seen else None for row, seen, _ in local]
            squares = [None if isinstance(image, str) else image for image in opened]
            logits = class_logits(model, maker.make(shown, squares))
            answers = torch.from_numpy(classes[[row for row, _, _ in local]]).to(logits.device)
            # The optimiser averages over the processes; times their number, that is the mean.
            loss = F.cross_entropy(logits, answers, reduction="sum") * world_size() / len(chosen)
            optimiser.step(loss)
            total += loss.item()
        logger.info("epoch %d of %d: loss %.3f", epoch + 1, settings.epochs, total / steps)
        report({"step": float(epoch + 1), "loss": total / steps})


def _fit_scale(parts: GestaltParts, held_out: pa.Table) -> tuple[Scale, float]:
    """Return the scale of the logits with the least loss on validation cases, and that loss."""
    classifier = GestaltClassifier(parts)
    logits, reasons = classifier.logits(batch_of(held_out))
    case_ids: Sequence[str] = held_out["case_id"].to_pylist()
    labels = classifier.labels.tolist()
    recorded = RecordedScores.of_lists(
        (case_id, labels, row.tolist())
        for case_id, row, reason in zip(case_ids, logits, reasons, strict=True)
        if not reason
    )
    return fit_scale(
        recorded,
        case_ids,
        parts.catalogue.indices_of(held_out["label_id"].to_pylist()),
        len(parts.catalogue),
    )
