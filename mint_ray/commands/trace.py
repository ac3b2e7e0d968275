"""Command `mint trace`: the preference rows that taught a student each of its first answers.

Rows are found by label and by case: what a row taught is known, how much of an answer is due to it
is not.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.common.arrays import Floats32
from mint_ray.common.files import replacing
from mint_ray.errors import DataError
from mint_ray.evaluation.predictions import read_predictions
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.manifest import finished_manifest
from mint_ray.retrieval.bm25 import BM25Index
from mint_ray.stages.compare.trainings import manifest_of, trainings_of
from mint_ray.stages.workers.training import CANDIDATES
from mint_ray.students.data.permuted import COLUMNS, answer_rows
from mint_ray.students.training_spec import TAUGHT

_ROWS = pa.list_(
    pa.struct(
        [
            pa.field("training", pa.string()),  # folder of the `train` step that read the row
            pa.field("preference_id", pa.string()),
            pa.field("similarity", pa.float32()),  # BM25 of the two cases' texts
        ]
    )
)
TRACE_SCHEMA = pa.schema(
    [
        pa.field("case_id", pa.string(), nullable=False),
        pa.field("system", pa.string(), nullable=False),
        pa.field("label_id", pa.string(), nullable=False),  # the first answer
        pa.field("rows_for", pa.int64(), nullable=False),  # rows that taught this label
        pa.field("rows_against", pa.int64(), nullable=False),  # rows that rejected it
        pa.field("nearest_for", _ROWS, nullable=False),  # of those, the nearest cases first
        pa.field("nearest_against", _ROWS, nullable=False),
        pa.field("nearest", _ROWS, nullable=False),  # whatever label they taught
    ]
)


class TaughtRow(NamedTuple):
    """A preference row that a training has read."""

    training: str
    preference_id: str
    case_id: str
    wanted: frozenset[str]
    """Labels that it taught."""
    unwanted: frozenset[str]
    """Labels that it rejected."""


def trace(evaluation: Path, out: Path, most: int = 5) -> pa.Table:
    """Write the rows behind each first answer of the student of an evaluation.

    Args:
        evaluation: folder of a finished `evaluate` step, in its store.
        out: parquet file to write.
        most: rows in each list.

    Returns:
        Rows of `TRACE_SCHEMA`, by case.

    Raises:
        ConfigError: the folder is not that of such a step.
        DataError: a file is missing or damaged, or the student has no answer.
    """
    hint = ", and the manifest of a comparison names those of its systems"
    manifest = finished_manifest(evaluation, ("evaluate",), "evaluate", hint=hint)
    evaluation = evaluation.absolute()  # its name leads to the steps beside it
    cases = evaluation.parent / manifest.inputs["cases"]
    system = manifest.facts["student"]
    predictions = read_predictions(evaluation / "predictions.parquet")
    first = pc.and_(pc.equal(predictions["system"], system), pc.equal(predictions["rank"], 1))
    answers = predictions.filter(first).sort_by("case_id")
    if not answers.num_rows:
        raise DataError(f"{evaluation}: expected answers of its student {system}, found none")
    catalogue = Catalogue.read(cases / "catalogue.parquet")
    rows = [
        row for training in trainings_of(evaluation) for row in taught_rows(training, catalogue)
    ]
    traced = [{"system": system} | item for item in _trace(answers, rows, _texts(cases), most)]
    table = pa.Table.from_pylist(traced, TRACE_SCHEMA)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as partial:
        pq.write_table(table, partial)
    return table


def taught_rows(training: Path, catalogue: Catalogue) -> list[TaughtRow]:
    """Return the preference rows that a finished training has read, with what they taught.

    Objectives with pairs teach the chosen names and reject the others; `sft` rejects none, nor does
    ORPO with λ = 0. Those that learn the known answer alone teach it. Of a training that did not
    write what it read, such as TRL's, all its rows are returned.

    Args:
        training: folder of a finished `train` step.
        catalogue: finds the main id of a known answer.
    """
    manifest = manifest_of(training)
    settings = manifest.config["training"]
    calibrates = settings["objective"] in ("cft", "rcft")
    of_answer = calibrates or (settings["objective"] == "sft" and settings["sft_on"] == "answer")
    lists = ["chosen_labels", "rejected_labels", *(["candidates"] if calibrates else [])]
    table = pq.read_table(
        training.parent / manifest.inputs["prefer"] / "train.parquet",
        columns=["preference_id", *COLUMNS, *lists],
    )
    if settings.get("answers") == "permuted":
        own = settings.get("seed")
        seed = manifest.seed if own is None else own
        taken = table.take(pa.array(answer_rows(table, seed)))
        for name in lists:
            table = table.set_column(table.column_names.index(name), name, taken[name])
    if (training / TAUGHT).is_file():
        read = pq.read_table(training / TAUGHT, columns=["preference_id"])["preference_id"]
        table = table.filter(pc.is_in(table["preference_id"], read.combine_chunks()))
    if calibrates and "candidates" in manifest.inputs:
        table = _with_candidates(table, training.parent / manifest.inputs["candidates"])
    compares = settings["objective"] == "orpo" and settings["orpo_lambda"] > 0
    rejects = compares or settings["objective"] == "dpo"
    return [
        TaughtRow(
            training.name,
            row["preference_id"],
            row["case_id"],
            _known(row, catalogue) if of_answer else frozenset(row["chosen_labels"]),
            frozenset(row["rejected_labels"]) if rejects else frozenset(),
        )
        for row in table.to_pylist()
    ]


def _with_candidates(table: pa.Table, ranked: Path) -> pa.Table:
    """Return rows whose candidates are those of a finished `candidates` step."""
    found = pq.read_table(ranked / CANDIDATES).to_pylist()
    of_case = {row["case_id"]: row["candidates"] for row in found}
    own = [of_case.get(case_id) or [] for case_id in table["case_id"].to_pylist()]
    column = pa.array(own, pa.list_(pa.string()))
    return table.set_column(table.column_names.index("candidates"), "candidates", column)


def _known(row: Mapping[str, Any], catalogue: Catalogue) -> frozenset[str]:
    """Return the known answer of a row; a row whose candidates lack it taught none."""
    index = None if row["label_id"] is None else catalogue.index_of(row["label_id"])
    if index is None:
        return frozenset()
    if "candidates" in row:
        candidates = {catalogue.index_of(label) for label in row["candidates"]}
        if index not in candidates:
            return frozenset()
    return frozenset([catalogue.ids[index]])


def _texts(cases: Path) -> dict[str, str]:
    """Return the text of each case: its note, or the description of its image."""
    table = pq.read_table(cases / "cases.parquet", columns=["case_id", "note", "description"])
    return {row["case_id"]: row["note"] or row["description"] for row in table.to_pylist()}


def _trace(
    answers: pa.Table, rows: Sequence[TaughtRow], texts: dict[str, str], most: int
) -> Iterator[dict[str, Any]]:
    places = {case_id: place for place, case_id in enumerate({row.case_id: 0 for row in rows})}
    similarities = _similarities([texts.get(case_id, "") for case_id in places])
    at = np.array([places[row.case_id] for row in rows], dtype=np.int64)
    for answer in answers.select(["case_id", "label_id"]).to_pylist():
        label, near = answer["label_id"], similarities(texts.get(answer["case_id"], ""))[at]
        # Best first; rows of equal similarity in their own order, which is by id.
        order = np.argsort(-near, kind="stable").tolist()
        lists = {
            "nearest_for": [index for index in order if label in rows[index].wanted],
            "nearest_against": [index for index in order if label in rows[index].unwanted],
            "nearest": order,
        }
        yield answer | {
            "rows_for": len(lists["nearest_for"]),
            "rows_against": len(lists["nearest_against"]),
            **{
                name: [
                    {
                        "training": rows[index].training,
                        "preference_id": rows[index].preference_id,
                        "similarity": float(near[index]),
                    }
                    for index in indices[:most]
                ]
                for name, indices in lists.items()
            },
        }


def _similarities(texts: Sequence[str]) -> Any:
    """Return a function from a text to its BM25 (n,) with each of n texts; 0 without words."""
    try:
        return BM25Index.build(texts).scores
    except ValueError:  # no text has a word

        def zeros(query: str) -> Floats32:
            return np.zeros(len(texts), dtype=np.float32)

        return zeros
