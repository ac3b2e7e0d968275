"""Tissue teachers `clip` (reads an image) and `clip_fusion` (an image and its description)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import load_file, save_file

from mint_ray.common.arrays import Floats32
from mint_ray.config.teacher import ClipConfig
from mint_ray.errors import TeacherError
from mint_ray.images.decode import open_tile
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.teachers.base import check_files, register_teacher, write_manifest
from mint_ray.teachers.clip.augment import turn
from mint_ray.teachers.clip.encoders.base import Encoders
from mint_ray.teachers.clip.encoders.load import load_encoders
from mint_ray.teachers.clip.examples import encode_descriptions, tidy
from mint_ray.teachers.clip.heads import Heads

CLIP, CLIP_FUSION = "clip", "clip_fusion"
WEIGHTS_FILE = "model.safetensors"
CATALOGUE_FILE = "catalogue.parquet"
IMAGES_AT_ONCE = 64
"""Number of decoded images in memory at once."""


class ClipTeacher:
    """A fitted tissue teacher with the interface `Teacher`.

    Scores of a row are NaN where its image is missing or unusable. `clip` reads the image alone;
    so does `clip_fusion` where a row has no description.
    """

    def __init__(
        self,
        name: str,
        catalogue: Catalogue,
        heads: Heads,
        encoders: Encoders,
        scoring_views: int = 1,
        revision: str = "unsaved",
    ) -> None:
        self.labels = catalogue.ids
        self.revision = revision
        self._reads_descriptions = name == CLIP_FUSION
        self._heads, self._encoders, self._views = heads, encoders, scoring_views

    def score(self, batch: Mapping[str, Sequence[Any]]) -> Floats32:
        """Return the log-probabilities (n, n_labels); see `Teacher.score`."""
        count = len(batch["image"])
        scores = np.full((count, len(self.labels)), np.nan, dtype=np.float32)
        for start in range(0, count, IMAGES_AT_ONCE):
            opened = [open_tile(item) for item in batch["image"][start : start + IMAGES_AT_ONCE]]
            usable = [i for i, image in enumerate(opened) if not isinstance(image, str)]
            if usable:
                images = [image for image in opened if not isinstance(image, str)]
                rows = [start + i for i in usable]
                described = rows if self._reads_descriptions else []
                descriptions = [tidy(batch["description"][row]) for row in described]
                texts = encode_descriptions(descriptions, self._encoders)
                scores[rows] = self._heads.log_probs(self._features(images), descriptions, texts)
        return scores

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        """Return the reasons of `open_tile`; see `Teacher.unusable_reasons`."""
        opened = (open_tile(encoded) for encoded in batch["image"])
        return [image if isinstance(image, str) else "" for image in opened]

    def _features(self, images: Sequence[Image.Image]) -> Floats32:
        """Return (n, image_width) features, averaged over the scoring views."""
        turned = [
            self._encoders.images([turn(image, number) for image in images])
            for number in range(self._views)
        ]
        return np.asarray(np.mean(turned, axis=0), dtype=np.float32)


def save_clip(
    folder: Path,
    name: str,
    catalogue: Catalogue,
    heads: Heads,
    encoders: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Write a folder from which `load_teacher` makes the same teacher.

    Weights of the encoders are not copied. Their `facts` are, and must be the same where the
    teacher is loaded.

    Args:
        folder: is made where it is missing.
        name: `clip` or `clip_fusion`.
        catalogue: labels in the order of the heads.
        heads: fitted classifiers.
        encoders: `Encoders.facts`.
        settings: `teacher` settings and `seed`; plain JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.contiguous() for key, value in heads.tensors().items()}
    save_file(tensors, folder / WEIGHTS_FILE)
    catalogue.write(folder / CATALOGUE_FILE)
    content = {
        "settings": dict(settings),
        "encoders": dict(encoders),
        "heads": heads.facts(),
        "catalogue": catalogue.revision(),
    }
    write_manifest(folder, name, [WEIGHTS_FILE, CATALOGUE_FILE], content)


@register_teacher(CLIP)
@register_teacher(CLIP_FUSION)
def load_clip(folder: Path, manifest: Mapping[str, Any]) -> ClipTeacher:
    """Load a teacher that `save_clip` wrote.

    Raises:
        TeacherError: a file is damaged, or the teacher was fitted with other encoders.
    """
    check_files(folder, manifest)
    content, name = manifest["content"], manifest["name"]
    config = ClipConfig.model_validate(content["settings"]["teacher"]["clip"])
    fitted = content["encoders"]
    if isinstance(fitted.get("revision"), str):
        config = config.model_copy(update={"revision": fitted["revision"]})
    encoders = load_encoders(config)
    facts = encoders.facts
    if changed := sorted(key for key in fitted | facts if fitted.get(key) != facts.get(key)):
        raise TeacherError(
            f"{folder}: fitted with other encoders than those found here (different: "
            f"{', '.join(changed)}); install those again, or fit it again"
        )
    catalogue = Catalogue.read(folder / CATALOGUE_FILE)
    heads = Heads.of_tensors(load_file(folder / WEIGHTS_FILE), content["heads"])
    revision = f"{name}@{manifest['revision']}"
    return ClipTeacher(name, catalogue, heads, encoders, config.scoring_views, revision)
