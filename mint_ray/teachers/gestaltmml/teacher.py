"""Teacher `gestaltmml`, which reads a face and words, and knows the classes of its head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, ViltConfig, ViltForQuestionAnswering

from mint_ray.common.arrays import Floats32, Ints, Ints32
from mint_ray.common.devices import pick_device
from mint_ray.common.folders import files_below
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.teachers.base import check_files, register_teacher, write_manifest
from mint_ray.teachers.gestaltmml.inputs import InputMaker
from mint_ray.teachers.gestaltmml.network import class_logits
from mint_ray.teachers.recorded.scale import Scale

NAME = "gestaltmml"
WEIGHTS_FILE = "model.safetensors"
CATALOGUE_FILE = "catalogue.parquet"
CONFIG_FILE = "config.json"
TOKENIZER_FOLDER = "tokenizer"
AT_ONCE = 32
"""Cases per forward pass."""

NOTHING_TO_JUDGE = "no_image_or_text"
"""Reason of a row without scores: it has neither an image nor words."""


@dataclass(frozen=True)
class GestaltParts:
    """Parts of the teacher that are saved and loaded.

    Attributes:
        model: a `ViltForQuestionAnswering`.
        tokenizer: of the model.
        classes: (n_classes,) catalogue index of each class, −1 where the catalogue lacks it.
        text: parts of the text.
        text_tokens: longest text.
        image_side: height and width of the image, in pixels.
    """

    catalogue: Catalogue
    model: Any
    tokenizer: Any
    classes: Ints
    text: tuple[str, ...]
    text_tokens: int
    image_side: int

    def inputs(self) -> InputMaker:
        """Return the maker of the model's inputs."""
        ontology = load_ontology(self.catalogue.release)
        return InputMaker(self.tokenizer, ontology, self.text, self.text_tokens, self.image_side)


class GestaltClassifier:
    """Logits of the head for cases, on a GPU where there is one.

    Attributes:
        labels: (n_labels,) catalogue indices of the labels that the head knows, ascending.
    """

    def __init__(self, parts: GestaltParts) -> None:
        self._model = parts.model.eval().to(pick_device())
        self._inputs = parts.inputs()
        known = np.flatnonzero(parts.classes >= 0)
        self.labels: Ints32 = np.unique(parts.classes[known]).astype(np.int32)
        self._known = known
        self._column = np.searchsorted(self.labels, parts.classes[known])

    def logits(self, batch: Mapping[str, Sequence[Any]]) -> tuple[Floats32, list[str]]:
        """Return (n, n_known) logits of `labels`, NaN for a case that cannot be judged.

        Returns:
            The logits, and per case the reason why it cannot be judged, else "".
        """
        texts = [self._inputs.words(batch, row) for row in range(len(batch["case_id"]))]
        opened = [self._inputs.open(image) for image in batch["image"]]
        reasons = [
            image if isinstance(image, str) else "" if image or text else NOTHING_TO_JUDGE
            for text, image in zip(texts, opened, strict=True)
        ]
        usable = [row for row, reason in enumerate(reasons) if not reason]
        logits = np.full((len(texts), len(self.labels)), np.nan, dtype=np.float32)
        for at in range(0, len(usable), AT_ONCE):
            rows = usable[at : at + AT_ONCE]
            images = [None if isinstance(i, str) else i for i in (opened[row] for row in rows)]
            inputs = self._inputs.make([texts[row] for row in rows], images)
            with torch.inference_mode():
                of_classes = class_logits(self._model, inputs).float().cpu().numpy()
            best = np.full((len(rows), len(self.labels)), -np.inf, dtype=np.float32)
            # Several classes may be one label of the catalogue, such as merged ids.
            for column, name in zip(self._column, self._known, strict=True):
                best[:, column] = np.maximum(best[:, column], of_classes[:, name])
            logits[rows] = best
        return logits, reasons


class GestaltTeacher:
    """A fitted `gestaltmml` with the interface `Teacher`, which answers for its head's classes.

    A row is NaN where its image cannot be read, or where it has neither image nor words.

    Attributes:
        floor: log-probability of the labels that the head does not know.
    """

    def __init__(self, parts: GestaltParts, scale: Scale, revision: str = "unsaved") -> None:
        self.labels = parts.catalogue.ids
        self.revision = revision
        self.floor = scale.floor
        self._classifier, self._scale = GestaltClassifier(parts), scale

    def score(self, batch: Mapping[str, Sequence[Any]]) -> Floats32:
        """Return the log-probabilities (n, n_labels); see `Teacher.score`."""
        logits, reasons = self._classifier.logits(batch)
        scores = np.full((len(logits), len(self.labels)), np.nan, dtype=np.float32)
        for row, reason in enumerate(reasons):
            if not reason:
                labels, values = self._classifier.labels, logits[row].astype(np.float64)
                scores[row] = self._scale.log_probabilities(labels, values)
        return scores

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        """Return per row why it cannot be judged; see `Teacher.unusable_reasons`.

        The reasons are `image_unreadable`, `image_too_large` and `no_image_or_text`.
        """
        return self._classifier.logits(batch)[1]


def save_gestaltmml(
    folder: Path, parts: GestaltParts, scale: Scale, facts: Mapping[str, Any]
) -> None:
    """Write a folder from which `load_teacher` makes the same teacher.

    Args:
        folder: is made where it is missing.
        parts: of the teacher.
        scale: of the probabilities.
        facts: settings and the checkpoint; plain JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = parts.model.state_dict().items()
    save_file({name: value.cpu().contiguous() for name, value in tensors}, folder / WEIGHTS_FILE)
    parts.catalogue.write(folder / CATALOGUE_FILE)
    parts.model.config.to_json_file(folder / CONFIG_FILE)
    parts.tokenizer.save_pretrained(folder / TOKENIZER_FOLDER)
    below = [f"{TOKENIZER_FOLDER}/{f.name}" for f in files_below(folder / TOKENIZER_FOLDER)]
    content = {
        "classes": parts.classes.tolist(),
        "text": list(parts.text),
        "text_tokens": parts.text_tokens,
        "image_side": parts.image_side,
        "scale": scale.facts(),
        "facts": dict(facts),
    }
    write_manifest(folder, NAME, [WEIGHTS_FILE, CATALOGUE_FILE, CONFIG_FILE, *below], content)


@register_teacher(NAME)
def load_gestaltmml(folder: Path, manifest: Mapping[str, Any]) -> GestaltTeacher:
    """Load a teacher that `save_gestaltmml` wrote.

    Raises:
        TeacherError: a file is damaged.
    """
    check_files(folder, manifest)
    content = manifest["content"]
    model = ViltForQuestionAnswering(ViltConfig.from_json_file(folder / CONFIG_FILE))
    model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    parts = GestaltParts(
        Catalogue.read(folder / CATALOGUE_FILE),
        model,
        AutoTokenizer.from_pretrained(folder / TOKENIZER_FOLDER, local_files_only=True),
        np.array(content["classes"], dtype=np.int64),
        tuple(content["text"]),
        content["text_tokens"],
        content["image_side"],
    )
    return GestaltTeacher(parts, Scale(**content["scale"]), f"{NAME}@{manifest['revision']}")
