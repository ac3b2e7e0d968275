"""Prediction with `mint predict`: a finished student ranks its catalogue for new cases."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.cases.patients.answer_leak import names_of_answer
from mint_ray.cases.patients.clinical_notes.columns import are_of_notes
from mint_ray.cases.patients.clinical_notes.files import peek_columns
from mint_ray.cases.patients.clinical_notes.language import NOT_ENGLISH
from mint_ray.cases.patients.clinical_notes.read import read_notes
from mint_ray.cases.patients.finish import ANSWER_IN_NOTE, finish_cases
from mint_ray.cases.patients.phenopackets import read_phenopackets
from mint_ray.cases.schema import CASE_SCHEMA, REJECTED_SCHEMA, ParsedCase, RejectedCase
from mint_ray.cases.table import read_case_table
from mint_ray.cases.tiles.unlabelled import read_images
from mint_ray.common.parquet import IMAGE_ROWS, TableFile
from mint_ray.common.tables.files import is_table_file
from mint_ray.config.cases import CasesConfig
from mint_ray.config.config import Config
from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.errors import ConfigError, DataError
from mint_ray.evaluation.calibration.calibrator import read_calibration
from mint_ray.evaluation.fused.pool import ranked_by
from mint_ray.evaluation.predictions import write_predictions
from mint_ray.knowledge.annotations import load_annotations
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.knowledge.release import present_release
from mint_ray.pipeline.seal import check_files
from mint_ray.runtime.inference import CaseInference, infer
from mint_ray.runtime.session import connect
from mint_ray.stages.workers.rankers import (
    RANKED_SCHEMA,
    StudentRanker,
    predictions_of,
    student_columns,
)
from mint_ray.students.student_folder import read_info
from mint_ray.tasks.task import TASKS

BATCH = 8


@dataclass(frozen=True)
class PredictionCounts:
    """Number of cases by what became of them.

    Attributes:
        ranked: cases with predictions.
        rejected: cases without, by reason.
        shortened: ranked cases whose note was cut at its end to fit the student's prompt.
        changed: what reading dropped or replaced within cases, by kind; see `ParsedCase.counts`.
    """

    ranked: int
    rejected: Mapping[str, int]
    shortened: int
    changed: Mapping[str, int]


def report(
    counts: PredictionCounts, student: str, cases: Path, out: Path, say: Callable[[str], None]
) -> None:
    """Say what became of the cases.

    Args:
        counts: of the prediction.
        student, cases, out: as the user named them.
        say: prints a line.

    Raises:
        DataError: there is no case that the student can rank.
    """
    rejected, changed = _listed(counts.rejected), _listed(counts.changed)
    if not counts.ranked:
        raise DataError(
            f"{cases}: expected a case that {student} can rank, found none; rejected: {rejected}; "
            f"{out.stem}.rejected.parquet beside {out} lists them"
        )
    say(f"{counts.ranked} cases ranked, rejected: {rejected}; {out}")
    if counts.shortened:
        say(f"notes cut at their end to fit the prompt: {counts.shortened} (column shortened)")
    if counts.changed:
        say(f"dropped or replaced while reading: {changed}")
    if foreign := counts.changed.get("notes_not_in_english"):
        say(f"{foreign} of {counts.ranked} notes are {NOT_ENGLISH}")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())) or "none"


class _Read(NamedTuple):
    """Rows of `REJECTED_SCHEMA`, and counts of what reading changed within the other cases."""

    rejected: list[dict[str, str]]
    changed: Counter[str]


def predict(student: Path, cases: Path, out: Path, top_k: int) -> PredictionCounts:
    """Rank the student's own catalogue for new cases, on Ray Data, and write the predictions.

    The student gets only its input of a case: the note or the image.

    Args:
        student: folder of a finished student; its `catalogue.parquet` is ranked. If it is joined
            with look-ups, they get the findings that are read in the note.
        cases: for a student of notes a parquet table of cases, a phenopacket, a folder of them, or
            a ZIP, or a table of clinical notes (see `read_note_table`), whose columns have usual
            names; for a student of images such a table, a folder of images, or one image.
        out: parquet file of predictions, whose column `system` says `student`, or `fused` where
            it is joined with look-ups; rejections go to `<name>.rejected.parquet` beside it.
        top_k: labels per case. The column `shortened` says whether the case's note was cut. With a
            calibrated student there are two more columns: `in_set`, whether the label belongs to
            the case's conformal set, and `set_size`, how many names that set has, listed or not.

    Returns:
        What became of the cases.

    Raises:
        ConfigError: `student` is not the folder of a finished student.
        TrainingError: the student's folder is damaged.
        DataError: the cases cannot be read, or a file of the student has changed since its step.
    """
    catalogue = student / "catalogue.parquet"
    if not catalogue.is_file():
        raise ConfigError(
            f"--student {student}: expected the folder of a finished train step (adapter and "
            "catalogue.parquet), found no catalogue.parquet; `mint path CONFIG train` prints one"
        )
    check_files(student)
    task = TASKS[read_info(student).task]
    config = Config(evaluation=EvaluationConfig(top_k=top_k))
    with tempfile.TemporaryDirectory(prefix="mint-predict-") as work:
        source = Path(work) / "cases.parquet"
        if task.input_modality == "image":
            rejected, changed = _write_images(cases, source)
        else:
            rejected, changed = _write_notes(cases, source, Catalogue.read(catalogue))
        connect(config.resources)
        tree = config.model_dump(
            mode="json", include={"evaluation", "resources", "seed", "student"}
        )
        job = CaseInference(
            StudentRanker,
            {"student": str(student), "catalogue": str(catalogue), "settings": tree},
            student_columns(task),
            RANKED_SCHEMA,
            BATCH,
        )
        ranked = infer(job, source, Path(work) / "ranked", config.resources)
        unusable = ranked.filter(pc.is_valid(ranked["reason"]))
        rejected += _rejections(unusable, source)
        ranked = ranked.filter(pc.is_null(ranked["reason"]))
    # The rank of a known answer below `top_k` is for evaluation; it is not a prediction.
    predictions = predictions_of(ranked, ranked_by(student))
    listed = predictions.filter(pc.less_equal(predictions["rank"], top_k))
    columns = {"shortened": pa.bool_()}
    if (calibration := read_calibration(student)) is not None:
        probability = listed["probability"].to_numpy().astype(np.float64)
        listed = listed.append_column("in_set", pa.array(calibration.contains(probability)))
        columns["set_size"] = pa.int32()
    by_case = {row["case_id"]: row for row in ranked.select(["case_id", *columns]).to_pylist()}
    for name, kind in columns.items():
        values = [by_case[case_id][name] for case_id in listed["case_id"].to_pylist()]
        listed = listed.append_column(name, pa.array(values, kind))
    write_predictions(out, listed)
    pq.write_table(
        pa.Table.from_pylist(rejected, REJECTED_SCHEMA),
        out.with_name(f"{out.stem}.rejected.parquet"),
    )
    return PredictionCounts(
        ranked.num_rows,
        Counter(row["reason"] for row in rejected),
        pc.sum(ranked["shortened"]).as_py() or 0,
        +changed,
    )


def _rejections(unusable: pa.Table, source: Path) -> list[dict[str, str]]:
    """Return the rejections of cases whose input the student cannot use."""
    sources = pq.read_table(source, columns=["case_id", "source"])
    source_of = dict(zip(*(column.to_pylist() for column in sources.columns), strict=True))
    return [
        vars(RejectedCase(row["case_id"], source_of[row["case_id"]], row["reason"]))
        for row in unusable.select(["case_id", "reason"]).to_pylist()
    ]


def _write_images(cases: Path, table: Path) -> _Read:
    """Write the usable images as a case table, a few at a time."""
    rejected, pending = [], []
    with TableFile(table, CASE_SCHEMA, IMAGE_ROWS) as file:
        for item in read_images(cases):
            if isinstance(item, RejectedCase):
                rejected.append(vars(item))
                continue
            pending.append(item)
            if len(pending) == IMAGE_ROWS:
                file.add(pa.Table.from_pylist(pending, CASE_SCHEMA))
                pending = []
        file.add(pa.Table.from_pylist(pending, CASE_SCHEMA))
    return _Read(rejected, Counter())


def _write_notes(cases: Path, table: Path, catalogue: Catalogue) -> _Read:
    """Write cases with notes as a case table.

    A phenopacket gets a note that states all of its findings. A clinical note keeps its words, but
    for the answer where the table states it.
    """
    release = present_release(catalogue.release)
    ontology = load_ontology(release)
    settings = CasesConfig(modalities="text_only")
    outcomes: Iterable[ParsedCase | RejectedCase]
    if are_of_notes(peek_columns(cases)):
        settings = CasesConfig(modalities="text_only", source="notes", path=cases)
        namespace = catalogue.ids[0].partition(":")[0]
        outcomes = read_notes(
            cases, settings.note_columns, load_annotations(release=release), namespace
        )
    elif is_table_file(cases):
        outcomes = read_case_table(cases, ontology)
    else:
        outcomes = read_phenopackets(cases, ontology)
    items = list(outcomes)
    parsed = [item for item in items if isinstance(item, ParsedCase)]
    forbidden = {item.case["case_id"]: item.forbidden for item in parsed}
    if settings.source == "notes":  # which are masked: the answer may stand in them
        for item in parsed:
            names = names_of_answer(item.case, item.forbidden, catalogue)
            forbidden[item.case["case_id"]] = (*item.forbidden, *names)
    finished = finish_cases([item.case for item in parsed], forbidden, ontology, settings, seed=0)
    rejected = [vars(item) for item in items if isinstance(item, RejectedCase)]
    pq.write_table(pa.Table.from_pylist(finished.cases, CASE_SCHEMA), table, row_group_size=64)
    changed = sum((item.counts for item in parsed), Counter(finished.counts))
    for done in ("written_notes", "drawn_faces", ANSWER_IN_NOTE):  # nothing was lost
        del changed[done]
    return _Read([*rejected, *finished.rejected], changed)
