"""Disease teacher `fusion`, which reads a face, HPO terms and the sex of a patient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from mint_ray.common.arrays import Bytes, Floats32, Ints
from mint_ray.common.devices import pick_device
from mint_ray.errors import TeacherError
from mint_ray.images.faces.findings import FACE_FINDINGS
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology, load_ontology
from mint_ray.teachers.base import check_files, register_teacher, write_manifest
from mint_ray.teachers.faces.pixels import decode_images
from mint_ray.teachers.faces.reader import FACE_WIDTH, FaceReader, read_faces
from mint_ray.teachers.fusion.label_profiles import ProfileMatch
from mint_ray.teachers.fusion.network import FusionNetwork
from mint_ray.teachers.fusion.term_features import Features, pack, sex_index
from mint_ray.teachers.term_encoder import TermEncoder

NAME = "fusion"
WEIGHTS_FILE = "model.safetensors"
CATALOGUE_FILE = "catalogue.parquet"
NOTHING_TO_JUDGE = "no_image_or_known_term"
"""Reason of a row without scores: it has neither an image nor a term of the ontology."""


@dataclass(frozen=True)
class FusionParts:
    """Parts of a fusion teacher that are saved and loaded."""

    catalogue: Catalogue
    ontology: Ontology
    reader: FaceReader
    network: FusionNetwork
    term_weights: Floats32
    """(n_terms,) weight of each observed term."""
    match: ProfileMatch


class FusionTeacher:
    """A fitted fusion teacher with the interface `Teacher`, on a GPU where there is one.

    Scores of a row are NaN where its image cannot be read, or where it has neither an image nor
    a known term.
    """

    def __init__(self, parts: FusionParts, revision: str = "unsaved") -> None:
        self.labels = parts.catalogue.ids
        self.revision = revision
        self._encoder, self._device = TermEncoder(parts.ontology), pick_device()
        self._reader = parts.reader.eval().to(self._device)
        self._network = parts.network.eval().to(self._device)
        self._term_weights, self._match = parts.term_weights, parts.match
        self._ones = np.ones_like(parts.term_weights)

    def score(self, batch: Mapping[str, Sequence[Any]]) -> Floats32:
        """Return the log-probabilities (n, n_labels); see `Teacher.score`."""
        if not (n := len(batch["terms"])):
            return np.zeros((0, len(self.labels)), dtype=np.float32)
        observed, excluded = self._terms(batch)
        pixels, rows, unreadable = decode_images(batch["image"])
        read, face = self.read_faces(pixels)
        findings = torch.zeros(n, read.shape[1]).index_copy_(0, torch.tensor(rows), read)
        features = Features(
            observed=pack(observed, self._term_weights),
            excluded=pack(excluded, self._ones),
            sex=torch.tensor([sex_index(sex) for sex in batch["sex"]]),
            findings=findings,
            face=torch.zeros(n, FACE_WIDTH).index_copy_(0, torch.tensor(rows), face),
            has_face=torch.zeros(n, 1).index_fill_(0, torch.tensor(rows), 1.0),
            match=self._match.score(observed, excluded, findings.numpy()),
        )
        with torch.inference_mode():
            logits = self._network(features.to(self._device))
            scores = torch.log_softmax(logits, dim=1).cpu().numpy()
        reasons = _reasons(observed, excluded, rows, unreadable)
        scores[[bool(reason) for reason in reasons]] = np.nan
        return np.asarray(scores, dtype=np.float32)

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        """Return per row why it cannot be judged; see `Teacher.unusable_reasons`.

        The reasons are `image_unreadable`, `image_too_large` and `no_image_or_known_term`.
        """
        _, rows, unreadable = decode_images(batch["image"])
        return _reasons(*self._terms(batch), rows, unreadable)

    def _terms(self, batch: Mapping[str, Sequence[Any]]) -> tuple[list[Ints], list[Ints]]:
        """Return the closure of each row's observed terms, and its excluded terms."""
        observed = [self._encoder.closure(terms) for terms in batch["terms"]]
        return observed, [self._encoder.plain(terms) for terms in batch["excluded_terms"]]

    def read_faces(self, pixels: Bytes) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the findings and features of faces; see the function `read_faces`."""
        return read_faces(self._reader, pixels)


def _reasons(
    observed: Sequence[Ints],
    excluded: Sequence[Ints],
    faces: Ints,
    unreadable: Sequence[str],
) -> list[str]:
    """Return why each row cannot be judged, else ""; `faces` are the rows with a readable face."""
    has_face = set(faces.tolist())
    return [
        reason or ("" if row in has_face or len(o) or len(e) else NOTHING_TO_JUDGE)
        for row, (o, e, reason) in enumerate(zip(observed, excluded, unreadable, strict=True))
    ]


def save_fusion(folder: Path, parts: FusionParts, settings: Mapping[str, Any]) -> None:
    """Write a folder from which `load_teacher` makes the same teacher.

    Args:
        folder: is made where it is missing.
        parts: of the teacher.
        settings: `teacher` settings and `seed`; plain JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"reader.{name}": value for name, value in parts.reader.state_dict().items()}
    tensors |= {f"network.{name}": value for name, value in parts.network.state_dict().items()}
    tensors |= {f"match.{name}": value for name, value in parts.match.tensors().items()}
    tensors["term_weights"] = torch.from_numpy(parts.term_weights)
    tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
    save_file(tensors, folder / WEIGHTS_FILE)
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
    """Load a teacher that `save_fusion` wrote.

    Raises:
        DataError: the folder of its knowledge release is absent, or has changed.
        TeacherError: a file is damaged, or the teacher was fitted with another release of the
            ontology or with other facial findings.
    """
    check_files(folder, manifest)
    catalogue = Catalogue.read(folder / CATALOGUE_FILE)
    content, ontology = manifest["content"], load_ontology(catalogue.release)
    fitted = (content["ontology"], content["terms"], content["findings"])
    present = (ontology.version, len(ontology.ids), list(FACE_FINDINGS))
    if fitted != present:
        raise TeacherError(
            f"{folder}: expected ontology {fitted[0]} ({fitted[1]} terms) and the facial findings "
            f"that the teacher was fitted with, found ontology {present[0]} ({present[1]} terms) "
            "or other facial findings; install that release, or fit the teacher again"
        )
    tensors = load_file(folder / WEIGHTS_FILE)
    term_weights = tensors.pop("term_weights").numpy()
    reader = FaceReader(len(FACE_FINDINGS))
    settings = content["settings"]
    network = FusionNetwork(
        len(ontology.ids), len(FACE_FINDINGS), len(catalogue), settings["hidden"], 0.0
    )
    reader.load_state_dict(_under("reader.", tensors))
    network.load_state_dict(_under("network.", tensors))
    closures = finding_closures(TermEncoder(ontology))
    match = ProfileMatch.of_tensors(_under("match.", tensors), len(ontology.ids), closures)
    parts = FusionParts(catalogue, ontology, reader, network, term_weights, match)
    return FusionTeacher(parts, f"{NAME}@{manifest['revision']}")


def finding_closures(encoder: TermEncoder) -> list[Ints]:
    """Return the closure of each facial finding, in the reader's order."""
    return [encoder.closure([finding]) for finding in FACE_FINDINGS]


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
