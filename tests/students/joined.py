"""Students joined with a look-up that knows the annotations of their diseases."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.cases.schema import CASE_SCHEMA
from mint_ray.common.probabilities.gate import Gate
from mint_ray.config.config import Config
from mint_ray.evaluation.fused.mixture import Mixture, write_mixture
from mint_ray.teachers.note_look_ups import FOLDER, fit_look_up

N_FEATURES = 7  # three of each expert, and the number of findings


def join_look_ups(student: Path, student_temperature: float = 1.0, other: float = 1.0) -> None:
    """Add look-up and mixture to a student's folder; both experts weigh the same.

    Args:
        student: folder with `catalogue.parquet`.
        student_temperature, other: of the student and of the look-up.
    """
    cases = student / "cases"
    cases.mkdir()
    pq.write_table(pa.Table.from_pylist([], CASE_SCHEMA), cases / "cases.parquet")
    (cases / "excluded_publications.txt").write_text("")
    shutil.copyfile(student / "catalogue.parquet", cases / "catalogue.parquet")
    fit_look_up("knowledge", Config(), cases, student / FOLDER)
    shutil.rmtree(cases)
    weights = np.zeros((2, N_FEATURES))
    gate = Gate(np.zeros(N_FEATURES), np.ones(N_FEATURES), weights, np.zeros(2), observed=10)
    write_mixture(student, Mixture(("knowledge",), student_temperature, (other,), gate, 10, 10))
