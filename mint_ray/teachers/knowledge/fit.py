"""Fit of the teacher `knowledge`: only its two temperatures and one share are fitted."""

from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.common.collectives import rank, wait_for_all
from mint_ray.config.config import Config
from mint_ray.errors import TeacherError
from mint_ray.knowledge.annotations import load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.base import Report
from mint_ray.teachers.held_out import accuracy
from mint_ray.teachers.knowledge.match import KnowledgeMatch
from mint_ray.teachers.knowledge.names import NameMatch
from mint_ray.teachers.knowledge.scale import fit_temperature
from mint_ray.teachers.knowledge.teacher import KnowledgeTeacher, Scale, save_knowledge
from mint_ray.teachers.term_encoder import TermEncoder
from mint_ray.teachers.term_patients import LabelledPatients

COLUMNS = ("case_id", "split", "group_id", "label_id", "terms", "excluded_terms", "sex")


def fit_knowledge(source: Path, config: Config, out: Path, report: Report) -> dict[str, float]:
    """Collect the annotations of the catalogue, and write the teacher `knowledge` to `out`.

    Args:
        source: folder with `cases.parquet`, `catalogue.parquet` and `excluded_publications.txt`.
        config: of the run; the teacher has no settings.
        out: folder that `load_teacher` reads; written by the first process.
        report: called once, with `step` and `loss` (0: nothing is trained).

    Returns:
        Top-1, top-3 and top-10 accuracy on the validation split, where there is one.

    Raises:
        TeacherError: no label of the catalogue has annotations.
    """
    held_out = pq.read_table(
        source / "cases.parquet",
        columns=list(COLUMNS),
        filters=pc.field("split") == "validation",
    )
    catalogue = Catalogue.read(source / "catalogue.parquet")
    ontology = load_ontology(catalogue.release)
    excluded = read_publications(source / "excluded_publications.txt")
    annotations = load_annotations(excluded, catalogue.release, config.knowledge.pooled_lines)
    match = KnowledgeMatch.of_annotations(catalogue, annotations, ontology)
    if not match.has_annotations.any():
        raise TeacherError(
            f"expected annotations of some of the {len(catalogue)} labels, found none; use a "
            "catalogue of annotated diseases, or teacher.name=neighbours"
        )
    patients = LabelledPatients.of_cases(
        held_out, catalogue, TermEncoder(ontology), len(ontology.ids)
    )
    scale = _fit_scale(patients, match, NameMatch(catalogue, ontology))
    report({"step": 1.0, "loss": 0.0})
    if rank() == 0:
        save_knowledge(out, catalogue, ontology, match, scale)
    wait_for_all()
    return accuracy(KnowledgeTeacher(catalogue, ontology, match, scale), held_out, catalogue)


def _fit_scale(patients: LabelledPatients, match: KnowledgeMatch, names: NameMatch) -> Scale:
    """Return the scale of patients with a known answer, one of each kind added to the share."""
    has = match.has_annotations
    matched, named = match.parts(patients.patients).total, names.score(patients.patients)
    unannotated = int(np.sum(~has[patients.labels]))
    return Scale(
        fit_temperature(matched, patients.labels, has),
        fit_temperature(named, patients.labels, ~has),
        (unannotated + 1) / (len(patients.labels) + 2),
    )
