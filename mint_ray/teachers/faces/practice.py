"""Faces drawn for practice, kept in the user's cache, since the fits of a run draw the same."""

from pathlib import Path

import numpy as np
import PIL
import pyarrow as pa
from numpy.typing import NDArray

from mint_ray.common.cache import cached_table
from mint_ray.images.faces import render
from mint_ray.knowledge.ontology import Ontology
from mint_ray.teachers.faces.fit_reader import Faces
from mint_ray.teachers.faces.pixels import decode_images
from mint_ray.teachers.faces.reader import FINDINGS

MEAN_FINDINGS = 2.5
"""Mean number of findings of a face."""
KEPT = 6
"""Largest number of sets in the cache: those of a teacher that is fitted to all groups and
without each of five parts. A set of 8,000 faces takes 45 MB."""


def practice_faces(count: int, choice: NDArray[np.int64], ontology: Ontology, seed: int) -> Faces:
    """Draw faces with random findings, to fit the reader on.

    The fewer findings there are to choose from, the more faces show each of them. A set that was
    drawn before, by the same code, comes from the cache.

    Args:
        count: number of faces.
        choice: positions in `FINDINGS` to choose from.
        ontology: of the findings.
        seed: of findings, sex and face.

    Returns:
        Faces without a diagnosis, whose findings are known.
    """
    drawn = _draw(0, choice, ontology, seed)
    if count:
        code = sorted(Path(render.__file__).parent.glob("*.py"))
        drawn = cached_table(
            "practice_faces",
            [*code, Path(__file__)],
            1,
            lambda: _draw(count, choice, ontology, seed),
            [
                f"{count} faces, seed {seed}, findings {choice.tolist()}",
                f"{ontology.version}, numpy {np.__version__}, Pillow {PIL.__version__}",
            ],
            most=KEPT,
        )
    pixels, rows, _ = decode_images(drawn["image"].to_pylist())
    assert len(rows) == count
    findings = np.zeros((count, len(FINDINGS)), dtype=np.float32)
    for row, shown in enumerate(drawn["findings"].to_pylist()):
        findings[row, shown] = 1
    known = np.ones(count, dtype=bool)
    return Faces(pixels, findings, known, np.full(count, -1, dtype=np.int64))


def _draw(count: int, choice: NDArray[np.int64], ontology: Ontology, seed: int) -> pa.Table:
    """Return a table of PNG images, and of the positions of their findings in `FINDINGS`."""
    rng = np.random.default_rng([seed, 1])
    findings, images = [], []
    for _ in range(count):
        chosen = rng.permutation(choice)[: int(rng.poisson(MEAN_FINDINGS))].tolist()
        sex = ("female", "male")[int(rng.integers(2))]
        terms = [FINDINGS[i] for i in chosen]
        images.append(render.render_face(terms, ontology, int(rng.integers(2**31)), sex))
        findings.append(chosen)
    columns = [pa.array(findings, pa.list_(pa.int64())), pa.array(images, pa.binary())]
    return pa.table(columns, ["findings", "image"])
