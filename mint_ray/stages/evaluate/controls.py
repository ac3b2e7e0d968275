"""Controls of image students: perturbed test images, and a classifier of colour alone."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mint_ray.common.seeds import stable_seed
from mint_ray.evaluation.answers import SystemAnswers
from mint_ray.evaluation.metrics.controls import colour_features, derange, mean_colour_predictions
from mint_ray.evaluation.perturbed_cases import write_perturbed_cases
from mint_ray.evaluation.systems import SystemRun
from mint_ray.images.decode import open_tile
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.runtime.inference import CaseInference, infer
from mint_ray.stages.evaluate.rank import Comparison
from mint_ray.stages.workers.rankers import TEACHER_COLUMNS, student_columns
from mint_ray.tasks.task import TASKS

MEAN_COLOUR = "mean_colour"
COLOUR_BATCH = 64
COLOUR_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("colours", pa.list_(pa.float64()), nullable=False),  # empty: unusable image
    ]
)


class ColourReader:
    """Ray Data actor that reads the colour features of images."""

    def __call__(self, cases: pa.Table) -> pa.Table:
        images = [open_tile(encoded) for encoded in cases["image"].to_pylist()]
        colours = [
            [] if isinstance(image, str) else colour_features(image).tolist() for image in images
        ]
        return pa.table([cases["case_id"], pa.array(colours, COLOUR_SCHEMA[1].type)], COLOUR_SCHEMA)


def write_perturbed(comparison: Comparison) -> None:
    """Write the tested cases unchanged and under every perturbation."""
    tested, config = comparison.tested, comparison.config
    seed = stable_seed(config.seed, "shuffled")
    donors = derange(comparison.tested_ids, tested["group_id"].to_pylist(), seed)
    columns = dict.fromkeys([*student_columns(TASKS[config.task]), *TEACHER_COLUMNS])
    write_perturbed_cases(
        comparison.cases_file,
        comparison.perturbed_file,
        comparison.tested_ids,
        donors,
        tuple(columns),
    )


def rank_by_mean_colour(comparison: Comparison, runs: Sequence[SystemRun]) -> SystemAnswers:
    """Rank by the mean colour of images alone, fitted to those of training cases; resumable."""
    cases, tested, catalogue = comparison.all_cases, comparison.tested, comparison.catalogue
    labelled = pc.and_(pc.equal(cases["split"], "train"), pc.is_valid(cases["label_id"]))
    train = cases.filter(labelled)
    train_ids, tested_ids = train["case_id"].to_pylist(), comparison.tested_ids
    features = _read_features(comparison, frozenset([*train_ids, *tested_ids]))
    usable = [
        (features[case_id], label)
        for case_id, label in zip(train_ids, train["label_id"].to_pylist(), strict=True)
        if not np.isnan(features[case_id]).any()
    ]
    predictions = mean_colour_predictions(
        (
            np.array([colours for colours, _ in usable]).reshape(-1, 6),
            [_primary(catalogue, label) for _, label in usable],
        ),
        (
            np.stack([features[case_id] for case_id in tested_ids]),
            tested_ids,
            [_primary(catalogue, label) for label in tested["label_id"].to_pylist()],
        ),
        dict(zip(catalogue.ids, catalogue.names, strict=True)),
        comparison.depth,
    )
    return SystemAnswers(dict.fromkeys(runs, predictions))


def _read_features(
    comparison: Comparison, case_ids: frozenset[str]
) -> dict[str, NDArray[np.float64]]:
    """Return (6,) colour features by case; NaN if the image is unusable."""
    table = infer(
        CaseInference(ColourReader, {}, ("case_id", "image"), COLOUR_SCHEMA, COLOUR_BATCH),
        comparison.cases_file,
        comparison.output / "ranked" / MEAN_COLOUR,
        comparison.config.resources,
        only=case_ids,
    )
    rows = zip(table["case_id"].to_pylist(), table["colours"].to_pylist(), strict=True)
    return {case_id: np.array(colours or [np.nan] * 6) for case_id, colours in rows}


def _primary(catalogue: Catalogue, label: str) -> str:
    """Return the catalogue's main id of a label, or `label` if the catalogue lacks it."""
    index = catalogue.index_of(label)
    return label if index is None else catalogue.ids[index]
