"""Teacher `fusion`: a face and HPO terms, to log-probabilities of every catalogue label."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from mint_ray.common.arrays import Bytes, Floats32, Ints
from mint_ray.errors import TeacherError
from mint_ray.images.faces.findings import FACE_FINDINGS
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology, load_ontology
from mint_ray.teachers.base import check_files, register_teacher, write_manifest
from mint_ray.teachers.fusion.face_pixels import decode_images
from mint_ray.teachers.fusion.label_profiles import ProfileMatch
from mint_ray.teachers.fusion.network import FACE_WIDTH, FaceReader, FusionNetwork
from mint_ray.teachers.fusion.term_features import Features, TermEncoder, pack, sex_index

NAME = "fusion"
WEIGHTS_FILE = "model.safetensors"
CATALOGUE_FILE = "catalogue.parquet"
FACES_AT_ONCE = 256

NOTHING_TO_JUDGE = "no_image_or_known_term"
"""Reason for no scores: the case has no image, and no term that the ontology knows."""


@dataclass(frozen=True)
class FusionParts:
    """All that a fusion teacher is made of; what is saved, and what is loaded again."""

    catalogue: Catalogue
    ontology: Ontology
    reader: FaceReader
    network: FusionNetwork
    term_weights: Floats32
    """(n_terms,) weight of each observed term."""
    match: ProfileMatch


class FusionTeacher:
    """A fitted fusion teacher; see `Teacher` for what it promises.

    A row is NaN where its image cannot be read, or where it has neither image nor any known
    term.
    """

    def __init__(self, parts: FusionParts, revision: str = "unsaved") -> None:
        self.labels = parts.catalogue.ids
        self.revision = revision
        self._encoder = TermEncoder(parts.ontology)
        self._reader, self._network = parts.reader.eval(), parts.network.eval()
        self._term_weights, self._match = parts.term_weights, parts.match
        self._ones = np.ones_like(parts.term_weights)

    def score(self, batch: Mapping[str, Sequence[Any]]) -> Floats32:
        """Log-probabilities, (n, n_labels); see `Teacher.score`."""
        if not (n := len(batch["terms"])):
            return np.zeros((0, len(self.labels)), dtype=np.float32)
        observed, excluded = self._terms(batch)
        pixels, rows, unreadable = decode_images(batch["image"])
        findings, face = self.read_faces(pixels)
        seen = torch.zeros(n, findings.shape[1]).index_copy_(0, torch.tensor(rows), findings)
        features = Features(
            observed=pack(observed, self._term_weights),
            excluded=pack(excluded, self._ones),
            sex=torch.tensor([sex_index(sex) for sex in batch["sex"]]),
            findings=seen,
            face=torch.zeros(n, FACE_WIDTH).index_copy_(0, torch.tensor(rows), face),
            has_face=torch.zeros(n, 1).index_fill_(0, torch.tensor(rows), 1.0),
            match=self._match.score(observed, excluded, seen.numpy()),
        )
        with torch.inference_mode():
            scores = torch.log_softmax(self._network(features), dim=1).numpy()
        reasons = _reasons(observed, excluded, rows, unreadable)
        scores[[bool(reason) for reason in reasons]] = np.nan
        return np.asarray(scores, dtype=np.float32)

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        """`image_unreadable`, `image_too_large`, `no_image_or_known_term`; see `Teacher`."""
        _, rows, unreadable = decode_images(batch["image"])
        return _reasons(*self._terms(batch), rows, unreadable)

    def _terms(self, batch: Mapping[str, Sequence[Any]]) -> tuple[list[Ints], list[Ints]]:
        """What is known of each row's observed and excluded terms."""
        observed = [self._encoder.closure(terms) for terms in batch["terms"]]
        return observed, [self._encoder.plain(terms) for terms in batch["excluded_terms"]]

    def read_faces(self, pixels: Bytes) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities of findings (m, n_findings) and features (m, FACE_WIDTH) of m faces."""
        return read_faces(self._reader, pixels)


def _reasons(
    observed: Sequence[Ints],
    excluded: Sequence[Ints],
    faces: Ints,
    unreadable: Sequence[str],
) -> list[str]:
    """Why each row cannot be judged, "" for none; `faces` are the rows with a face to see."""
    seen = set(faces.tolist())
    return [
        reason or ("" if row in seen or len(o) or len(e) else NOTHING_TO_JUDGE)
        for row, (o, e, reason) in enumerate(zip(observed, excluded, unreadable, strict=True))
    ]


def read_faces(reader: FaceReader, pixels: Bytes) -> tuple[torch.Tensor, torch.Tensor]:
    """See `FusionTeacher.read_faces`; `reader` is in evaluation mode."""
    found = [torch.zeros(0, len(FACE_FINDINGS))]
    features = [torch.zeros(0, FACE_WIDTH)]
    with torch.inference_mode():
        for at in range(0, len(pixels), FACES_AT_ONCE):
            logits, part = reader(torch.from_numpy(pixels[at : at + FACES_AT_ONCE]))
            found.append(torch.sigmoid(logits))
            features.append(part)
    return torch.cat(found), torch.cat(features)


def save_fusion(folder: Path, parts: FusionParts, settings: Mapping[str, Any]) -> None:
    """Write a folder from which `load_teacher` makes the same teacher."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"reader.{name}": value for name, value in parts.reader.state_dict().items()}
    tensors |= {f"network.{name}": value for name, value in parts.network.state_dict().items()}
    tensors |= {f"match.{name}": value for name, value in parts.match.tensors().items()}
    tensors["term_weights"] = torch.from_numpy(parts.term_weights)
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / WEIGHTS_FILE)
    parts.catalogue.write(folder / CATALOGUE_FILE)
    content = {
        "ontology": parts.ontology.version,
        "terms": len(parts.ontology.ids),
        "findings": list(FACE_FINDINGS),
        "settings": dict(settings),
    }
    write_manifest(folder, NAME, [WEIGHTS_FILE, CATALOGUE_FILE], content)


@register_teacher(NAME)
def load_fusion(folder: Path, manifest: Mapping[str, Any]) -> FusionTeacher:
    """The teacher that `save_fusion` wrote.

    Raises:
        TeacherError: a file is damaged, or it was fitted with another release of the ontology.
    """
    check_files(folder, manifest)
    content, ontology = manifest["content"], load_ontology()
    fitted = (content["ontology"], content["terms"], content["findings"])
    present = (ontology.version, len(ontology.ids), list(FACE_FINDINGS))
    if fitted != present:
        raise TeacherError(
            f"{folder}: fitted with ontology {fitted[0]} ({fitted[1]} terms), but {present[0]} "
            f"({present[1]} terms) is installed, or with other facial findings; fit it again"
        )
    catalogue = Catalogue.read(folder / CATALOGUE_FILE)
    tensors = load_file(folder / WEIGHTS_FILE)
    term_weights = tensors.pop("term_weights").numpy()
    reader = FaceReader(len(FACE_FINDINGS))
    settings = content["settings"]
    network = FusionNetwork(
        len(ontology.ids), len(FACE_FINDINGS), len(catalogue), settings["hidden"], 0.0
    )
    reader.load_state_dict(_below("reader.", tensors))
    network.load_state_dict(_below("network.", tensors))
    closures = finding_closures(TermEncoder(ontology))
    match = ProfileMatch.of_tensors(_below("match.", tensors), len(ontology.ids), closures)
    parts = FusionParts(catalogue, ontology, reader, network, term_weights, match)
    return FusionTeacher(parts, f"{NAME}@{manifest['revision']}")


def finding_closures(encoder: TermEncoder) -> list[Ints]:
    """Closure of each facial finding, in the reader's order."""
    return [encoder.closure([finding]) for finding in FACE_FINDINGS]


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
