"""The controls of image students: shifted stains, images of other cases, colour alone."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.cases.seeding import stable_seed
from mint_ray.evaluation.controls import colour_features, derange, mean_colour_predictions
from mint_ray.images.decode import open_tile
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.stages.inference import CaseInference, infer
from mint_ray.stages.rankers import predictions_of, ranking_depth, student_columns
from mint_ray.stages.ranking_jobs import Variation, rank_cases
from mint_ray.steps import StepContext
from mint_ray.students.prompts import TASKS

MEAN_COLOUR, STAIN, SHUFFLED = "mean_colour", "_stain", "_shuffled"
COLOUR_BATCH = 64
COLOUR_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("colours", pa.list_(pa.float64()), nullable=False),  # empty: unusable image
    ]
)

_ROWS = 64  # copied at once


class ColourReader:
    """A Ray Data actor that reads the colour features of images."""

    def __call__(self, cases: pa.Table) -> pa.Table:
        opened = [open_tile(image) for image in cases["image"].to_pylist()]
        colours = [
            [] if isinstance(image, str) else colour_features(image).tolist() for image in opened
        ]
        return pa.table([cases["case_id"], pa.array(colours, COLOUR_SCHEMA[1].type)], COLOUR_SCHEMA)


def choose_controls(context: StepContext, tested: pa.Table) -> list[tuple[str, str]]:
    """(system, end of the control's name) of each control; none unless images are named.

    A single test case has no other whose image it could show.
    """
    config = context.config
    if TASKS[config.task].sees != "image" or not config.evaluation.controls:
        return []
    chosen = [(MEAN_COLOUR, "")]
    if "student" in config.evaluation.systems:
        chosen.append(("student", STAIN))
        chosen += [("student", SHUFFLED)] if tested.num_rows > 1 else []
    return chosen + ([("teacher", STAIN)] if "teacher" in config.evaluation.systems else [])


def ask_control(
    context: StepContext,
    system: str,
    end: str,
    everything: pa.Table,
    tested: pa.Table,
    catalogue: Catalogue,
    name: str,
) -> pa.Table:
    """One control's predictions, under the system name `name`.

    Args:
        system: what is asked: `mean_colour`, `student` or `teacher`.
        end: `_stain`, `_shuffled`, or nothing.
        everything: ids, splits and labels of all cases.
    """
    if system == MEAN_COLOUR:
        return _ask_mean_colour(context, everything, tested, catalogue)
    wanted = frozenset(tested["case_id"].to_pylist())
    if end == STAIN:
        variation = Variation(end, stain=context.config.seed)
        ranked = rank_cases(context, system, wanted, len(catalogue), variation=variation)
        return predictions_of(ranked, name)
    source = context.output / "shuffled.parquet"
    seed = stable_seed(context.config.seed, "shuffled")
    donors = derange(tested["case_id"].to_pylist(), tested["group_id"].to_pylist(), seed)
    write_shuffled(
        context.inputs["cases"] / "cases.parquet",
        source,
        donors,
        student_columns(TASKS[context.config.task]),
    )
    variation = Variation(end, source=source)
    ranked = rank_cases(context, system, wanted, len(catalogue), variation=variation)
    source.unlink()  # the images of all test cases once more
    return predictions_of(ranked, name)


def write_shuffled(
    source: Path, target: Path, donors: Mapping[str, str], columns: Iterable[str]
) -> None:
    """Cases with the images of other cases; every other column is their own.

    Images are copied twice, through a memory-mapped file beside the target, so that a few of them
    are in memory at a time.

    Args:
        donors: case id to the case whose image it gets.
        columns: to keep of each case, `image` among them.
    """
    scratch = target.with_suffix(".arrow")
    places = _spool_images(source, scratch, frozenset(donors))
    kept = [name for name in columns if name != "image"]
    own = pq.read_table(source, columns=kept)
    own = own.filter(pc.is_in(own["case_id"], pa.array(donors))).sort_by("case_id")
    schema = own.schema.append(pa.field("image", pa.binary()))
    with pa.memory_map(str(scratch)) as file, pq.ParquetWriter(target, schema) as writer:
        batches = pa.ipc.open_file(file)
        for at in range(0, own.num_rows, _ROWS):
            part = own.slice(at, _ROWS)
            images = []
            for case_id in part["case_id"].to_pylist():
                batch, row = places[donors[case_id]]
                images.append(batches.get_batch(batch).column(0)[row].as_py())
            writer.write_table(part.append_column(schema.field("image"), pa.array(images)))
    scratch.unlink()


def _spool_images(
    source: Path, scratch: Path, wanted: frozenset[str]
) -> dict[str, tuple[int, int]]:
    """Write the wanted cases' images where they can be reached singly: batch and row by case."""
    places: dict[str, tuple[int, int]] = {}
    schema = pa.schema([pa.field("image", pa.binary())])
    ids = pa.array(sorted(wanted), pa.string())
    with pa.ipc.new_file(str(scratch), schema) as writer:
        count = 0
        for batch in pq.ParquetFile(source).iter_batches(_ROWS, columns=["case_id", "image"]):
            found = batch.filter(pc.is_in(batch["case_id"], ids))
            if found.num_rows:
                writer.write_batch(pa.record_batch([found["image"]], schema=schema))
                named = enumerate(found["case_id"].to_pylist())
                places |= {case_id: (count, row) for row, case_id in named}
                count += 1
    return places


def _ask_mean_colour(
    context: StepContext, everything: pa.Table, tested: pa.Table, catalogue: Catalogue
) -> pa.Table:
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
