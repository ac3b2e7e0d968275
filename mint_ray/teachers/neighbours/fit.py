"""Fit of the teacher `neighbours`: an index of the training patients, and its temperature."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.common.arrays import Floats32, Ints
from mint_ray.common.collectives import rank, wait_for_all
from mint_ray.common.probabilities.temperature import search_temperature
from mint_ray.config.config import Config
from mint_ray.errors import TeacherError
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.neighbours.index import PatientIndex
from mint_ray.teachers.neighbours.teacher import Scale, save_neighbours
from mint_ray.teachers.term_encoder import TermEncoder
from mint_ray.teachers.term_patients import published_cases

Report = Callable[[dict[str, float]], None]

COLUMNS = ("split", "label_id", "source", "terms")
USUAL_TEMPERATURE = 0.05
"""Temperature where no validation case has a disease of training patients."""
LOG_TEMPERATURES = (-6.0, 0.0)
"""Range of the temperature's natural logarithm; cosines are at most one."""


def fit_neighbours(source: Path, config: Config, out: Path, report: Report) -> dict[str, float]:
    """Index the training patients of the stage `cases`, and write the teacher to `out`.

    The temperature and the share of unseen diseases come from the validation split.

    Args:
        source: folder with `cases.parquet` and `catalogue.parquet`.
        config: of the run.
        out: folder that `load_teacher` reads; written by the first process.
        report: called once, with `step` and `loss`.

    Returns:
        Top-1, top-3 and top-10 accuracy on the validation split, where there is one.

    Raises:
        TeacherError: no training patient has a disease of the catalogue and a known term.
    """
    rows = pc.field("split").isin(["train", "validation"])
    cases = pq.read_table(source / "cases.parquet", columns=list(COLUMNS), filters=rows)
    catalogue = Catalogue.read(source / "catalogue.parquet")
    ontology = load_ontology(catalogue.release)
    encoder = TermEncoder(ontology)
    closures, labels = _patients(cases, "train", catalogue, encoder)
    known = labels >= 0
    if not known.any():
        raise TeacherError(
            "expected training patients with a disease of the catalogue and a known HPO term, "
            f"found none among {len(labels)}; check the cases, or set teacher.name=fusion, which "
            "learns from annotations too"
        )
    index = PatientIndex.of_patients(
        [closures[row] for row in np.flatnonzero(known)], labels[known].tolist(), len(ontology.ids)
    )
    held_out, answers = _patients(cases, "validation", catalogue, encoder)
    similarity = index.similarity(held_out)
    scale, loss = _fit_scale(similarity, answers, index.seen)
    report({"step": 1.0, "loss": loss})
    if rank() == 0:
        save_neighbours(out, catalogue, ontology, index, scale)
    wait_for_all()
    return _accuracy(similarity, answers, index.seen)


def _patients(
    cases: pa.Table, split: str, catalogue: Catalogue, encoder: TermEncoder
) -> tuple[list[Ints], Ints]:
    """Return closures and catalogue indices (−1 without one) of the cases with a known term."""
    rows = published_cases(cases.filter(pc.equal(cases["split"], split))).to_pylist()
    closures = [encoder.closure(row["terms"] or ()) for row in rows]
    known = [index for index, closure in enumerate(closures) if len(closure)]
    labels = catalogue.indices_of(rows[index]["label_id"] for index in known)
    return [closures[index] for index in known], labels


def _fit_scale(similarity: Floats32, answers: Ints, seen: Ints) -> tuple[Scale, float]:
    """Return the scale with the least loss on validation cases, and that loss in nats.

    The share of unseen diseases is that of the validation cases with a known answer, with one case
    of each kind added.
    """
    is_seen = np.isin(answers, seen)
    n_known = int((answers >= 0).sum())
    unseen = (n_known - int(is_seen.sum()) + 1) / (n_known + 2)
    if not is_seen.any():
        return Scale(USUAL_TEMPERATURE, unseen), 0.0
    rows, columns = similarity[is_seen], np.searchsorted(seen, answers[is_seen])

    def loss(temperature: float) -> float:
        everything = np.ones(len(seen), dtype=bool)
        scores = Scale(temperature, 0.0).log_probabilities(rows, everything)
        return -float(scores[np.arange(len(rows)), columns].mean())

    temperature = search_temperature(loss, LOG_TEMPERATURES)
    return Scale(temperature, unseen), loss(temperature)


def _accuracy(similarity: Floats32, answers: Ints, seen: Ints) -> dict[str, float]:
    """Return the accuracies of cases with a known answer; unseen diseases count as missed."""
    known = answers >= 0
    if not known.any():
        return {}
    columns = np.searchsorted(seen, answers[known]).clip(max=len(seen) - 1)
    own = np.take_along_axis(similarity[known], columns[:, None], axis=1)
    ranks = 1 + (similarity[known] > own).sum(axis=1)
    found = np.isin(answers[known], seen)
    return {f"validation.top{k}": float((found & (ranks <= k)).mean()) for k in (1, 3, 10)}
