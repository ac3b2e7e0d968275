"""Teachers `clip` (an image) and `clip_fusion` (an image and its description) of tissues."""

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
"""Images that are held decoded at once."""


class ClipTeacher:
    """A fitted tissue teacher; see `Teacher` for what it promises.

    A row is NaN where its image is missing or unusable. `clip` reads the image alone; so does
    `clip_fusion` where a row has no description.
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
        self._reads = name == CLIP_FUSION
        self._heads, self._encoders, self._views = heads, encoders, scoring_views

    def score(self, batch: Mapping[str, Sequence[Any]]) -> Floats32:
        """Log-probabilities, (n, n_labels); see `Teacher.score`."""
        count = len(batch["image"])
        scores = np.full((count, len(self.labels)), np.nan, dtype=np.float32)
        for start in range(0, count, IMAGES_AT_ONCE):
            opened = [open_tile(item) for item in batch["image"][start : start + IMAGES_AT_ONCE]]
            usable = [i for i, found in enumerate(opened) if not isinstance(found, str)]
            if usable:
                images = [image for image in opened if not isinstance(image, str)]
                rows = [start + i for i in usable]
                told = [tidy(batch["description"][row]) for row in rows if self._reads]
                texts = encode_descriptions(told, self._encoders)
                scores[rows] = self._heads.log_probs(self._features(images), told, texts)
        return scores

    def unusable_reasons(self, batch: Mapping[str, Sequence[Any]]) -> list[str]:
        """The reasons of `open_tile`; see `Teacher`."""
        opened = (open_tile(encoded) for encoded in batch["image"])
        return [found if isinstance(found, str) else "" for found in opened]

    def _features(self, images: Sequence[Image.Image]) -> Floats32:
        """(n, image_width), averaged over the scoring views."""
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

    The encoders are not copied: their `facts` are, and must be the same where it is loaded.
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
    """The teacher that `save_clip` wrote.

    Raises:
        TeacherError: a file is damaged, or the encoders are not those it was fitted with.
    """
    check_files(folder, manifest)
    content, name = manifest["content"], manifest["name"]
    config = ClipConfig.model_validate(content["settings"]["teacher"]["clip"])
    fitted = content["encoders"]
    if isinstance(fitted.get("revision"), str):
        config = config.model_copy(update={"revision": fitted["revision"]})
    encoders = load_encoders(config)
    found = encoders.facts
    if changed := sorted(key for key in fitted | found if fitted.get(key) != found.get(key)):
        raise TeacherError(
            f"{folder}: fitted with other encoders than those found here (different: "
            f"{', '.join(changed)}); install those again, or fit it again"
        )
    catalogue = Catalogue.read(folder / CATALOGUE_FILE)
    heads = Heads.of_tensors(load_file(folder / WEIGHTS_FILE), content["heads"])
    revision = f"{name}@{manifest['revision']}"
    return ClipTeacher(name, catalogue, heads, encoders, config.scoring_views, revision)
