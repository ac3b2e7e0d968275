"""Fit of the face reader to training cases, beside faces drawn for practice."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mint_ray.common.arrays import Floats32, Ints
from mint_ray.common.devices import pick_device
from mint_ray.config.teacher import TeacherConfig
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology
from mint_ray.teachers.faces.fit_reader import (
    Faces,
    ReadingNoise,
    finding_row,
    fit_reader,
)
from mint_ray.teachers.faces.pixels import decode_images
from mint_ray.teachers.faces.practice import practice_faces
from mint_ray.teachers.faces.reader import FINDINGS, FaceReader, read_faces


@dataclass(frozen=True)
class CaseFaces:
    """Face reader of some training cases, and what it reads.

    Attributes:
        reader: fitted.
        readings: by case id the probabilities (n_findings,) and features (FACE_WIDTH,).
        noise: errors on drawn faces that the reader was not fitted on; None where no faces are
            drawn.
    """

    reader: FaceReader
    readings: Mapping[str, tuple[Floats32, Floats32]]
    noise: ReadingNoise | None


def fit_case_faces(
    train: pa.Table,
    choice: Ints,
    catalogue: Catalogue,
    ontology: Ontology,
    config: TeacherConfig,
    seed: int,
) -> CaseFaces:
    """Fit the face reader, read the training faces, and measure how the reader errs.

    Where no case states what its face shows (photographs), the reader learns from the diagnosis
    alone.

    Args:
        train: rows of the split `train`.
        choice: positions in `FINDINGS` that some label can show; drawn faces show these.
        catalogue: labels to score.
        ontology: of the terms.
        config: the teacher's settings.
        seed: of everything random.

    Returns:
        The reader, its readings of the training faces, and its errors.
    """
    pixels, rows, _ = decode_images(train["image"].to_pylist())
    cases = train.drop_columns(["image"]).take(rows).to_pylist()
    findings = [finding_row(case["face_terms"], ontology) for case in cases]
    drawn = any(row.any() for row in findings)
    training = Faces(
        pixels,
        np.stack(findings) if findings else np.zeros((0, len(FINDINGS)), np.float32),
        np.full(len(cases), drawn),
        catalogue.indices_of(case["label_id"] for case in cases),
    )
    practice = practice_faces(config.face_samples if drawn else 0, choice, ontology, seed)
    count = len(practice.labels)
    fitted = count * 3 // 4
    reader = fit_reader(
        [training, _slice(practice, 0, fitted)],
        len(catalogue),
        config.face_epochs,
        seed,
        pick_device(),
    )
    # The errors are those on faces that the reader was not fitted on.
    noise = ReadingNoise(reader, _slice(practice, fitted, count)) if count else None
    probabilities, features = read_faces(reader, pixels)
    readings = {
        case["case_id"]: (probabilities[i].numpy(), features[i].numpy())
        for i, case in enumerate(cases)
    }
    return CaseFaces(reader, readings, noise)


def _slice(faces: Faces, start: int, stop: int) -> Faces:
    return Faces(*(column[start:stop] for column in vars(faces).values()))
