"""Fit of the face reader to the findings that a face is known to show and to the diagnosis."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from mint_ray.images.faces.render import findings_of
from mint_ray.knowledge.ontology import Ontology
from mint_ray.teachers.faces.reader import FACE_WIDTH, FINDINGS, FaceReader, read_faces
from mint_ray.teachers.optimiser import Optimiser

BATCH = 64
LABEL_WEIGHT = 0.1  # of the diagnosis beside the findings


@dataclass(frozen=True)
class Faces:
    """Faces to learn from."""

    pixels: NDArray[np.uint8]
    """(n, 3, 112, 112)."""
    findings: NDArray[np.float32]
    """(n, n_findings) 1 where the face shows the finding."""
    known: NDArray[np.bool_]
    """(n,) whether the findings of the face are known."""
    labels: NDArray[np.int64]
    """(n,) catalogue index of the diagnosis, -1 where there is none."""


def finding_row(terms: Iterable[str], ontology: Ontology) -> NDArray[np.float32]:
    """Return (n_findings,) with 1 for each facial finding among the terms, else 0."""
    shown = {finding for term in terms for finding in findings_of(term, ontology)}
    return np.array([finding in shown for finding in FINDINGS], dtype=np.float32)


def fit_reader(
    parts: Sequence[Faces], n_labels: int, epochs: int, seed: int, device: torch.device
) -> FaceReader:
    """Fit a face reader.

    Loss: binary cross-entropy of the known findings + 0.1 × cross-entropy of the diagnosis. With
    fewer faces than one batch the reader keeps its random weights.

    Args:
        parts: faces to learn from.
        n_labels: size of the catalogue.
        epochs: passes over all faces.
        seed: of the weights and the order of the faces.
        device: of the reader.
    """
    torch.manual_seed(seed)
    reader = FaceReader(len(FINDINGS)).to(device)
    diagnosis = nn.Linear(FACE_WIDTH, n_labels).to(device)
    faces = _join(parts)
    steps = len(faces.labels) // BATCH * epochs
    if not steps:
        return reader.eval()
    optimiser = Optimiser([*reader.parameters(), *diagnosis.parameters()], 2e-3, 1e-2, steps)
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(faces.labels))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            optimiser.step(_loss(reader, diagnosis, faces, order[start : start + BATCH]))
    return reader.eval()


def _loss(
    reader: FaceReader, diagnosis: nn.Linear, faces: Faces, rows: NDArray[np.int64]
) -> torch.Tensor:
    device = diagnosis.weight.device
    logits, features = reader(torch.from_numpy(faces.pixels[rows]).to(device))
    # Chosen on the CPU: a mask on a GPU would make the CPU wait for its count.
    known, labelled = np.flatnonzero(faces.known[rows]), np.flatnonzero(faces.labels[rows] >= 0)
    findings = torch.from_numpy(faces.findings[rows[known]]).to(device)
    labels = torch.from_numpy(faces.labels[rows[labelled]]).to(device)
    # Sums over an empty selection are 0, where means would be NaN.
    findings_loss = F.binary_cross_entropy_with_logits(
        logits[torch.from_numpy(known).to(device)], findings, reduction="sum"
    )
    label_features = features[torch.from_numpy(labelled).to(device)]
    label_loss = F.cross_entropy(diagnosis(label_features), labels, reduction="sum")
    loss: torch.Tensor = findings_loss / logits.shape[1] + LABEL_WEIGHT * label_loss
    return loss / len(rows)


def _join(parts: Sequence[Faces]) -> Faces:
    return Faces(
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.findings for part in parts]),
        np.concatenate([part.known for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


class ReadingNoise:
    """Random readings of the faces of simulated patients, without an image of the face.

    Each finding's probability is drawn from those that the reader gave to practice faces that
    show the finding, or to practice faces that do not, as is true of the patient.

    Args:
        reader: fitted.
        practice: faces that the reader was not fitted on.
    """

    def __init__(self, reader: FaceReader, practice: Faces) -> None:
        read = read_faces(reader, practice.pixels)[0].numpy()
        shown = practice.findings.astype(bool)
        # A value of its own for each finding: there may be no practice face that shows it.
        self._absent = [np.append(read[~shown[:, j], j], 0.0) for j in range(len(FINDINGS))]
        self._present = [np.append(read[shown[:, j], j], 0.9) for j in range(len(FINDINGS))]

    def read(self, truth: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw (n, n_findings) probabilities for (n, n_findings) true findings, each 0 or 1."""
        result = np.zeros_like(truth)
        for j, (absent, present) in enumerate(zip(self._absent, self._present, strict=True)):
            result[:, j] = rng.choice(absent, len(truth))
            shown = truth[:, j] > 0
            result[shown, j] = rng.choice(present, int(shown.sum()))
        return result
