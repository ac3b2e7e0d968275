"""Fit of the fusion teacher on training groups and simulated patients of every label.

The fit runs in one process, or in each process of a `torch.distributed` group: every process
draws the same patients and takes its share of each batch. A fit takes minutes, and starts from
the beginning after an interruption.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch.nn import functional as F

from mint_ray.cases.patients.record_counts import RecordCounts
from mint_ray.common.collectives import rank, wait_for_all, world_size
from mint_ray.common.devices import pick_device
from mint_ray.config.config import Config
from mint_ray.config.teacher import TeacherConfig
from mint_ray.errors import TeacherError
from mint_ray.knowledge.annotations import Annotations, load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology, load_ontology
from mint_ray.teachers.faces.fit_cases import fit_case_faces
from mint_ray.teachers.faces.fit_reader import finding_row
from mint_ray.teachers.faces.reader import FINDINGS
from mint_ray.teachers.fusion.label_profiles import ProfileMatch, pooled_profiles
from mint_ray.teachers.fusion.network import FusionNetwork
from mint_ray.teachers.fusion.teacher import (
    FusionParts,
    FusionTeacher,
    finding_closures,
    save_fusion,
)
from mint_ray.teachers.fusion.term_features import smoothed_information_content
from mint_ray.teachers.fusion.training_patients import (
    Patient,
    SimulatedPatients,
    drop_modality,
    features_of,
    real_patients,
    vary,
)
from mint_ray.teachers.held_out import accuracy
from mint_ray.teachers.optimiser import Optimiser
from mint_ray.teachers.term_encoder import TermEncoder
from mint_ray.teachers.term_patients import published_cases

logger = logging.getLogger(__name__)

Report = Callable[[dict[str, float]], None]


def fit_fusion(source: Path, config: Config, out: Path, report: Report) -> dict[str, float]:
    """Run `fit_teacher` on the output of the stage `cases`.

    Args:
        source: folder with `cases.parquet`, `catalogue.parquet` and `excluded_publications.txt`.
        config: of the run.
        out: folder that `load_teacher` reads.
        report: see `fit_teacher`.

    Returns:
        Accuracies on the validation split; see `fit_teacher`.

    Raises:
        TeacherError: there is nothing to learn from.
    """
    rows = pc.field("split").isin(["train", "validation"])
    catalogue = Catalogue.read(source / "catalogue.parquet")
    excluded = read_publications(source / "excluded_publications.txt")
    return fit_teacher(
        pq.read_table(source / "cases.parquet", filters=rows),
        catalogue,
        load_annotations(excluded, catalogue.release, config.knowledge.pooled_lines),
        load_ontology(catalogue.release),
        config.teacher,
        config.seed,
        out,
        report,
    )


def fit_teacher(
    cases: pa.Table,
    catalogue: Catalogue,
    annotations: Annotations,
    ontology: Ontology,
    config: TeacherConfig,
    seed: int,
    out: Path,
    report: Report,
) -> dict[str, float]:
    """Fit the teacher `fusion` and write it to `out`.

    Args:
        cases: rows of the splits `train` and `validation`.
        catalogue: labels to score.
        annotations: must lack those that are known only from evaluated publications.
        ontology: of the terms.
        config: the teacher's settings.
        seed: of everything random.
        out: folder that `load_teacher` reads; written by the first process.
        report: called after every epoch in every process, with `step` (epochs done) and `loss`.

    Returns:
        Top-1, top-3 and top-10 accuracy on the validation split, where there is one.

    Raises:
        TeacherError: there are neither training patients nor annotations to learn from.
    """
    train = cases.filter(pc.equal(cases["split"], "train"))
    rows = train.drop_columns(["image"]).to_pylist()
    evidence = published_cases(train.drop_columns(["image"])).to_pylist()
    profiles, n_terms = pooled_profiles(catalogue, annotations, evidence), len(ontology.ids)
    possible = finding_row({a.term for profile in profiles for a in profile}, ontology)
    choice = np.flatnonzero(possible)
    faces = fit_case_faces(train, choice, catalogue, ontology, config, seed)
    encoder = TermEncoder(ontology)
    weights = smoothed_information_content(profiles, encoder, n_terms)
    match = ProfileMatch.of_profiles(profiles, encoder, n_terms, finding_closures(encoder))
    torch.manual_seed(seed)
    network = FusionNetwork(
        len(ontology.ids), len(FINDINGS), len(catalogue), config.hidden, config.dropout
    ).to(pick_device())
    real = real_patients(rows, catalogue, faces.readings)
    simulated = SimulatedPatients(
        profiles, ontology, faces.noise, _faces_in_terms(train), RecordCounts.of(rows)
    )
    if not real and not (simulated.labels and config.simulated_per_label):
        raise TeacherError(
            "expected training patients with a label of the catalogue, or annotations to draw "
            "simulated ones from, found neither"
        )
    parts = FusionParts(catalogue, ontology, faces.reader, network, weights, match)
    _fit_network(parts, encoder, real, simulated, config, seed, report)
    if rank() == 0:
        settings = config.model_dump(mode="json") | {"seed": seed}
        save_fusion(out, parts, settings)
    wait_for_all()
    held_out = cases.filter(pc.equal(cases["split"], "validation"))
    return accuracy(FusionTeacher(parts), held_out, catalogue)


def _faces_in_terms(train: pa.Table) -> bool:
    """Return whether findings that the faces show are among the terms as well."""
    pairs = zip(train["face_terms"].to_pylist(), train["terms"].to_pylist(), strict=True)
    return any(set(shown) & set(terms) for shown, terms in pairs)


def _fit_network(
    parts: FusionParts,
    encoder: TermEncoder,
    real: list[Patient],
    simulated: SimulatedPatients,
    config: TeacherConfig,
    seed: int,
    report: Report,
) -> None:
    network, processes = parts.network, world_size()
    device = network.output.weight.device
    per_epoch = len(real) * config.real_repeats + len(simulated.labels) * config.simulated_per_label
    steps = -(-per_epoch // config.batch_size)
    optimiser = Optimiser(
        network.parameters(), config.learning_rate, config.weight_decay, steps * config.epochs
    )
    for epoch in range(config.epochs):
        rng = np.random.default_rng([seed, 2, epoch])
        patients = [
            drop_modality(patient, config.modality_dropout, rng)
            for patient in simulated.draw(config.simulated_per_label, rng)
        ]
        for _ in range(config.real_repeats):
            patients += [vary(p, parts.ontology, config.modality_dropout, rng) for p in real]
        order = rng.permutation(len(patients))
        total = 0.0
        for start in range(0, len(order), config.batch_size):
            batch = [patients[i] for i in order[start : start + config.batch_size]]
            local = batch[rank() :: processes] or batch[:1]
            features = features_of(local, encoder, parts.term_weights, parts.match, len(FINDINGS))
            logits = network(features.to(device))
            labels = torch.tensor([patient.label for patient in local], device=device)
            weight = torch.tensor([patient.weight for patient in local], device=device)
            local_loss = (F.cross_entropy(logits, labels, reduction="none") * weight).sum()
            # The optimiser averages over the processes; times their number, that is the mean.
            loss = local_loss * processes / sum(patient.weight for patient in batch)
            optimiser.step(loss)
            total += loss.item()
        logger.info("epoch %d of %d: loss %.3f", epoch + 1, config.epochs, total / steps)
        report({"step": float(epoch + 1), "loss": total / steps})
    network.eval()
