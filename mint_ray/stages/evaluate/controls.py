"""The controls of image students: shifted stains, images of other cases, colour alone."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mint_ray.common.seeds import stable_seed
from mint_ray.evaluation.metrics.controls import colour_features, derange, mean_colour_predictions
from mint_ray.evaluation.perturbed_cases import SHUFFLED, STAIN, write_asked
from mint_ray.images.decode import open_tile
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.steps import StepContext
from mint_ray.runtime.inference import CaseInference, infer
from mint_ray.stages.workers.rankers import TEACHER_COLUMNS, ranking_depth, student_columns
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
    """A Ray Data actor that reads the colour features of images."""

    def __call__(self, cases: pa.Table) -> pa.Table:
        opened = [open_tile(image) for image in cases["image"].to_pylist()]
        colours = [
            [] if isinstance(image, str) else colour_features(image).tolist() for image in opened
        ]
        return pa.table([cases["case_id"], pa.array(colours, COLOUR_SCHEMA[1].type)], COLOUR_SCHEMA)


def choose_controls(context: StepContext, tested: pa.Table) -> dict[str, tuple[str, ...]]:
    """Variations that systems are asked about beside the plain cases; none unless images are named.

    Mean colour goes with them. A single test case has no other whose image it could show.
    """
    config = context.config
    if TASKS[config.task].input_modality != "image" or not config.evaluation.controls:
        return {}
    shuffled = (SHUFFLED,) if tested.num_rows > 1 else ()
    chosen = {"student": (STAIN, *shuffled), "teacher": (STAIN,), MEAN_COLOUR: ()}
    return {n: ends for n, ends in chosen.items() if n in (*config.evaluation.systems, MEAN_COLOUR)}


def write_variations(context: StepContext, tested: pa.Table) -> Path:
    """Write the tested cases in all ways in which they are asked about; the file's place."""
    target = context.output / "asked.parquet"
    case_ids, groups = tested["case_id"].to_pylist(), tested["group_id"].to_pylist()
    seed = stable_seed(context.config.seed, "shuffled")
    donors = derange(case_ids, groups, seed) if len(case_ids) > 1 else {}
    columns = dict.fromkeys([*student_columns(TASKS[context.config.task]), *TEACHER_COLUMNS])
    source = context.inputs["cases"] / "cases.parquet"
    write_asked(source, target, case_ids, donors, tuple(columns))
    return target


def ask_mean_colour(
    context: StepContext, everything: pa.Table, tested: pa.Table, catalogue: Catalogue
) -> pa.Table:
    """Predictions by the mean colour of images alone, fitted to those of training cases.

    Args:
        everything: ids, splits and labels of all cases.
    """
    config, cases = context.config, context.inputs["cases"] / "cases.parquet"
    labelled = pc.and_(pc.equal(everything["split"], "train"), pc.is_valid(everything["label_id"]))
    train = everything.filter(labelled)
    read = infer(
        CaseInference(ColourReader, {}, ("case_id", "image"), COLOUR_SCHEMA, COLOUR_BATCH),
        cases,
        context.output / "ranked" / MEAN_COLOUR,
        config.resources,
        only=frozenset([*train["case_id"].to_pylist(), *tested["case_id"].to_pylist()]),
    )
    features = {
        case_id: np.array(colours or [np.nan] * 6)
        for case_id, colours in zip(
            read["case_id"].to_pylist(), read["colours"].to_pylist(), strict=True
        )
    }
    usable = [
        (features[case_id], label)
        for case_id, label in zip(
            train["case_id"].to_pylist(), train["label_id"].to_pylist(), strict=True
        )
        if not np.isnan(features[case_id]).any()
    ]
    tested_ids = tested["case_id"].to_pylist()
    return mean_colour_predictions(
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
        ranking_depth(config.task, len(catalogue), config.evaluation.top_k),
    )


def _primary(catalogue: Catalogue, label: str) -> str:
    """The catalogue's own id of a label, or the label where the catalogue lacks it."""
    index = catalogue.index_of(label)
    return label if index is None else catalogue.ids[index]
