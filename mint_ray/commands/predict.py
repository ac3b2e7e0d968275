"""Prediction with `mint predict`: a finished student ranks its catalogue for new cases."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.cases.patients.answer_leak import names_of_answer
from mint_ray.cases.patients.clinical_notes.columns import are_of_notes
from mint_ray.cases.patients.clinical_notes.files import peek_columns
from mint_ray.cases.patients.clinical_notes.read import read_notes
from mint_ray.cases.patients.finish import finish_cases
from mint_ray.cases.patients.phenopackets import read_phenopackets
from mint_ray.cases.schema import CASE_SCHEMA, REJECTED_SCHEMA, ParsedCase, RejectedCase
from mint_ray.cases.table import read_case_table
from mint_ray.cases.tiles.unlabelled import read_images
from mint_ray.common.parquet import IMAGE_ROWS, TableFile
from mint_ray.config.cases import CasesConfig
from mint_ray.config.config import Config
from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.errors import ConfigError
from mint_ray.evaluation.calibration.calibrator import read_calibration
from mint_ray.evaluation.predictions import write_predictions
from mint_ray.knowledge.annotations import load_annotations
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.runtime.inference import CaseInference, infer
from mint_ray.runtime.session import connect
from mint_ray.stages.workers.rankers import (
    RANKED_SCHEMA,
    StudentRanker,
    predictions_of,
    student_columns,
)
from mint_ray.tasks.task import TASKS

BATCH = 8


@dataclass(frozen=True)
class PredictionCounts:
    """Number of ranked cases, of rejected cases by reason, and of what was changed by kind."""

    ranked: int
    rejected: Mapping[str, int]
    changed: Mapping[str, int] = field(default_factory=dict)


def predict(student: Path, cases: Path, out: Path, top_k: int) -> PredictionCounts:
    """Rank the student's own catalogue for new cases, on Ray Data, and write the predictions.

    The student gets only its input of a case: the note or the image.

    Args:
        student: adapter folder that a train step wrote; its `catalogue.parquet` is ranked.
        cases: for a student of notes a parquet table of cases, a phenopacket, a folder of them, or
            a ZIP, or a table of clinical notes (see `read_note_table`), whose columns have usual
            names; for a student of images such a table, a folder of images, or one image.
        out: parquet file of predictions; rejections go to `<name>.rejected.parquet` beside it.
        top_k: labels per case. With a calibrated student the predictions have two more columns:
            `in_set`, whether the label belongs to the case's conformal set, and `set_size`, how
            many names that set has, listed or not.

    Returns:
        Numbers of ranked cases, of rejected ones by reason, and of what was changed.

    Raises:
        ConfigError: `student` is not the folder of a finished student.
        TrainingError: the student's folder is damaged.
        DataError: the cases cannot be read.
    """
    from mint_ray.students.student import read_info

    catalogue = student / "catalogue.parquet"
    if not catalogue.is_file():
        raise ConfigError(
            f"--student {student}: expected the folder of a finished train step (adapter and "
            "catalogue.parquet), found no catalogue.parquet; `mint path CONFIG train` prints one"
        )
    task = TASKS[read_info(student).task]
    config = Config(evaluation=EvaluationConfig(top_k=top_k))
    with tempfile.TemporaryDirectory(prefix="mint-predict-") as work:
        source = Path(work) / "cases.parquet"
        changed: Counter[str] = Counter()
        if task.input_modality == "image":
            rejected = _write_images(cases, source)
        else:
            rejected, changed = _write_notes(cases, source, Catalogue.read(catalogue))
        connect(config.resources)
        tree = config.model_dump(mode="json", include={"evaluation", "resources", "student"})
        job = CaseInference(
            StudentRanker,
            {"student": str(student), "catalogue": str(catalogue), "settings": tree},
            student_columns(task),
            RANKED_SCHEMA,
            BATCH,
        )
        ranked = infer(job, source, Path(work) / "ranked", config.resources)
    # The rank of a known answer below `top_k` is for evaluation; it is not a prediction.
    predictions = predictions_of(ranked, "student")
    listed = predictions.filter(pc.less_equal(predictions["rank"], top_k))
    if (calibration := read_calibration(student)) is not None:
        probability = listed["probability"].to_numpy().astype(np.float64)
        listed = listed.append_column("in_set", pa.array(calibration.contains(probability)))
        set_sizes = dict(
            zip(*(ranked[name].to_pylist() for name in ("case_id", "set_size")), strict=True)
        )
        row_sizes = [set_sizes[case_id] for case_id in listed["case_id"].to_pylist()]
        listed = listed.append_column("set_size", pa.array(row_sizes, pa.int32()))
    write_predictions(out, listed)
    pq.write_table(
        pa.Table.from_pylist(rejected, REJECTED_SCHEMA),
        out.with_name(f"{out.stem}.rejected.parquet"),
    )
    return PredictionCounts(ranked.num_rows, Counter(row["reason"] for row in rejected), changed)


def _write_images(cases: Path, table: Path) -> list[dict[str, str]]:
    """Write the usable images as a case table, a few at a time; return the rejections."""
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
    return rejected


def _write_notes(
    cases: Path, table: Path, catalogue: Catalogue
) -> tuple[list[dict[str, str]], Counter[str]]:
    """Write cases with notes as a case table; return the rejections and counts of what was changed.

    A phenopacket gets a note that states all of its findings. A clinical note keeps its words, but
    for the answer where the table states it.
    """
    ontology = load_ontology()
    settings = CasesConfig(modalities="text_only")
    outcomes: Iterable[ParsedCase | RejectedCase]
    if are_of_notes(peek_columns(cases)):
        settings = CasesConfig(modalities="text_only", source="notes", path=cases)
        namespace = catalogue.ids[0].partition(":")[0]
        outcomes = read_notes(cases, settings.note_columns, load_annotations(), namespace)
    elif cases.suffix == ".parquet":
        outcomes = read_case_table(cases)
    else:
        outcomes = read_phenopackets(cases, ontology)
    items = list(outcomes)
    parsed = [item for item in items if isinstance(item, ParsedCase)]
    forbidden = {item.case["case_id"]: item.forbidden for item in parsed}
    if settings.source == "notes":
        forbidden = {
            item.case["case_id"]: (
                *item.forbidden,
                *names_of_answer(item.case, item.forbidden, catalogue),
            )
            for item in parsed
        }
    finished = finish_cases([item.case for item in parsed], forbidden, ontology, settings, seed=0)
    rejected = [vars(item) for item in items if isinstance(item, RejectedCase)]
    pq.write_table(pa.Table.from_pylist(finished.cases, CASE_SCHEMA), table, row_group_size=64)
    changed = sum((item.counts for item in parsed), Counter(finished.counts))
    return [*rejected, *finished.rejected], changed
