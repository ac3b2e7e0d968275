"""The stage `calibrate` with look-ups, and invented scores in place of a student's; no Ray."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.cases.schema import CASE_SCHEMA, blank_case
from mint_ray.config.config import Config
from mint_ray.errors import TrainingError
from mint_ray.evaluation.calibration.calibrator import read_calibration
from mint_ray.evaluation.fused.pool import read_pool
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.pipeline.steps import StepContext
from mint_ray.stages import calibrate
from mint_ray.stages.workers.scoring import NAMED_SCORES_SCHEMA, CaseScorer, NamedCaseScorer
from mint_ray.teachers.registry import find_fitter

IDS = ("OMIM:143100", "OMIM:154700", "OMIM:219700")
NOTES = ("Chorea. Dementia.", "Arachnodactyly. Ectopia lentis.", "A person.")
CASES = {
    f"{split}-{number:02d}": number % 3
    for split, count in (("validation", 24), ("test", 12))
    for number in range(count)
}


class Silent:
    """A display that shows nothing."""

    def update(self, done: float, total: float, detail: str = "") -> None: ...

    def say(self, message: str) -> None: ...


class Asked:
    """Calls of the scorer that this module puts in the place of the real one."""

    def __init__(self) -> None:
        self.calls: list[tuple[Path, frozenset[str], type]] = []
        self.unreadable = ""

    def score(
        self,
        config: Config,
        student: Path,
        cases: Path,
        wanted: frozenset[str],
        output: Path,
        scorer: type = CaseScorer,
    ) -> pa.Table:
        self.calls.append((student, wanted, scorer))
        rows = []
        for case_id in sorted(wanted):
            answer = CASES[case_id]
            scores = {"scores": [-0.1, -2.0, -3.0], "labels": [1, 0, 2]}
            rank = [1, 0, 2].index(answer)
            known = {"answer_rank": rank + 1, "answer_score": scores["scores"][rank]}
            row = {"case_id": case_id, "group_id": case_id, **scores, **known}
            rows.append(row | {"reason": "blank" if case_id == self.unreadable else None})
        table = pa.Table.from_pylist(rows, NAMED_SCORES_SCHEMA)
        return table if scorer is NamedCaseScorer else table.drop_columns(["labels"])


def make_context(root: Path, promotion: dict[str, Any]) -> StepContext:
    cases, student, output = root / "cases", root / "train-1", root / "calibrate-1"
    for folder in (cases, student, output):
        folder.mkdir()
    rows = [
        blank_case(case_id, "table")
        | {
            "group_id": case_id,
            "split": case_id.partition("-")[0],
            "label_id": IDS[answer],
            "note": NOTES[answer],
            "seen": True,
        }
        for case_id, answer in CASES.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows, CASE_SCHEMA), cases / "cases.parquet")
    (cases / "excluded_publications.txt").write_text("")
    Catalogue(Label(i, f"disease {i}", (i,), (), ()) for i in IDS).write(
        cases / "catalogue.parquet"
    )
    (student / "student.json").write_text(
        '{"format": 1, "base_model": "tiny", "base_revision": null, "k": 2, '
        '"max_prompt_length": 100, "max_length": 200, "objective": "orpo"}'
    )
    config = Config.model_validate({"promotion": promotion})
    inputs = {"cases": cases, "train": student}
    return StepContext(config, "1", inputs, output, None, Silent())  # type: ignore[arg-type]


@pytest.fixture
def scorer(monkeypatch: pytest.MonkeyPatch) -> Asked:
    scorer = Asked()
    monkeypatch.setattr(calibrate, "score_cases", scorer.score)
    monkeypatch.setattr(calibrate, "begin_session", lambda resources, say: None)
    return scorer


def test_pool_and_calibration_are_fitted_to_other_groups(
    tmp_path: Path, scorer: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def fit(cases: Path, *rest: Any) -> Any:
        read.extend(pq.read_table(cases / "cases.parquet")["case_id"].to_pylist())
        return find_fitter(Config.model_validate({"teacher": {"name": "knowledge"}})).load()(
            cases, *rest
        )

    monkeypatch.setattr(
        "mint_ray.teachers.note_look_ups.find_fitter", lambda _: SimpleNamespace(load=lambda: fit)
    )
    context = make_context(tmp_path, {"ranking": "fused"})
    outcome = calibrate.run(context)
    (student, fitting, named), (own, rest, _) = scorer.calls
    assert (student, named, own) == (context.inputs["train"], NamedCaseScorer, context.output)
    assert not fitting & rest
    assert len(fitting) == 12
    assert frozenset(read) == fitting  # the look-up's, too
    assert fitting | rest == frozenset(CASES)
    pool, calibration = read_pool(context.output), read_calibration(context.output)
    assert pool is not None
    assert (pool.look_ups, pool.cases) == (("knowledge",), 12)
    assert calibration is not None
    assert (calibration.ranking, calibration.groups) == ("fused", 12)
    files = outcome.facts["files"]
    assert {"fused.json", "look_ups/knowledge/teacher.json"} <= set(files)
    assert all((context.output / name).is_file() for name in files)
    assert "fused with the look-ups knowledge" in (context.output / "README.md").read_text()


def test_the_students_own_ranking_uses_all_validation_groups(tmp_path: Path, scorer: Asked) -> None:
    context = make_context(tmp_path, {})
    outcome = calibrate.run(context)
    assert [call[1] for call in scorer.calls] == [frozenset(CASES)]
    assert read_pool(context.output) is None
    calibration = read_calibration(context.output)
    assert calibration is not None
    assert (calibration.ranking, calibration.groups) == ("student", 24)
    assert outcome.facts["files"] == ["student.json"]


def test_a_folder_without_a_student_is_refused(tmp_path: Path, scorer: Asked) -> None:
    context = make_context(tmp_path, {"ranking": "fused"})
    (context.inputs["train"] / "student.json").unlink()
    with pytest.raises(TrainingError, match="expected a finished student"):
        calibrate.run(context)


def test_cases_that_the_student_cannot_read_are_counted(tmp_path: Path, scorer: Asked) -> None:
    scorer.unreadable = "test-03"
    outcome = calibrate.run(make_context(tmp_path, {}))
    assert (outcome.rows_in, outcome.rows_out, outcome.rejected) == (36, 35, {"blank": 1})
