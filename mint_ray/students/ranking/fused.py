"""Ranking by a student and look-ups together: a pool over the findings of the same note.

A student's folder with `fused.json` ranks like this; see `mint_ray.evaluation.fused.pool`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mint_ray.common.arrays import Floats
from mint_ray.errors import DataError
from mint_ray.evaluation.calibration.calibrator import AnswerCalibration
from mint_ray.evaluation.fused.pool import FILE, OpinionPool, experts_of, ranked_by, read_pool
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.ranking.rankings import Ranking, Scores, ranking_of
from mint_ray.teachers.note_look_ups import FOLDER, Findings, NoteLookUps


class FusedRanker:
    """Ranker of a catalogue by a pool of a student and look-ups.

    Unlike the student's beam it ranks every name: those that the beam did not finish rank by the
    look-ups. A note without findings is ranked by the student alone.

    Args:
        ranker: the student's, over the same catalogue.
        look_ups: that the pool joins with it.
        pool: fitted.
        listed: most names in a ranking.
        temperature: scores are divided by it before they become probabilities.
    """

    def __init__(
        self,
        ranker: Ranker,
        look_ups: NoteLookUps,
        pool: OpinionPool,
        *,
        listed: int,
        temperature: float = 1.0,
    ) -> None:
        self._ranker, self._look_ups, self._pool = ranker, look_ups, pool
        self._listed, self._temperature = listed, temperature

    def rank(
        self,
        notes: Sequence[str],
        answers: Sequence[int | None] | None = None,
        findings: Sequence[Findings] | None = None,
    ) -> list[Ranking]:
        """Rank the catalogue for each case.

        Args:
            notes: clinical notes, as for `Ranker.rank`.
            answers: position of each case's known answer in the catalogue, where known.
            findings: of each case, for the look-ups; read in the notes if None.

        Raises:
            ServingError: the student gives scores that are not finite.
        """
        known = answers if answers is not None else [None] * len(notes)
        return self.rankings(self.score(notes, known, findings))

    def rankings(self, scores: Sequence[Scores]) -> list[Ranking]:
        """Return the rankings of cases with these scores of `score`."""
        return [ranking_of(item, self._listed, self._temperature) for item in scores]

    def score(
        self,
        notes: Sequence[str],
        answers: Sequence[int | None],
        findings: Sequence[Findings] | None = None,
    ) -> list[Scores]:
        """Return the scores behind `rank`, which has the same arguments and errors.

        They are log-probabilities of all names. Of a case without findings they are the student's,
        at the pool's temperature for it, of the names that it scored.
        """
        if not notes:
            return []
        of_student = self._ranker.score(notes, answers)
        read = self._look_ups.read(notes) if findings is None else findings
        by_name = self._look_ups.score(read)
        experts = experts_of(
            [scores.labels[: len(scores.own)] for scores in of_student],
            [scores.own for scores in of_student],
            [by_name[name] for name in self._pool.look_ups],
        )
        pooled = self._pool.log_probabilities(experts)
        informed = experts.informed
        return [
            _of_pool(scores, pooled[row], answer)
            if informed[row]
            else replace(scores, values=scores.values / self._pool.student_temperature)
            for row, (scores, answer) in enumerate(zip(of_student, answers, strict=True))
        ]


def _of_pool(of_student: Scores, log_probabilities: Floats, answer: int | None) -> Scores:
    """Return the scores of all names, best first, a known answer behind those that tie with it."""
    is_known = np.arange(len(log_probabilities)) == (-1 if answer is None else answer)
    labels = np.lexsort((is_known, -log_probabilities)).astype(np.int64)
    rank = None if answer is None else int(np.flatnonzero(labels == answer)[0]) + 1
    return Scores(labels, log_probabilities[labels], rank, False, of_student.shortened)


def with_look_ups(
    ranker: Ranker,
    folder: Path,
    catalogue: Catalogue,
    calibration: AnswerCalibration | None,
    *,
    listed: int,
) -> Ranker | FusedRanker:
    """Return the ranker that a student's folder asks for: with its look-ups, or as it is.

    Args:
        ranker: of the folder's student.
        folder: of the student.
        catalogue: that is ranked.
        calibration: of the folder, if it has one.
        listed: most names in a ranking.

    Raises:
        DataError: the pool is damaged, a look-up that it names is missing, or the calibration
            belongs to another ranking.
        TeacherError: a look-up is damaged, or is of another catalogue.
    """
    pool, found = read_pool(folder), ranked_by(folder)
    if calibration is not None and calibration.ranking != found:
        raise DataError(
            f"{folder}: its calibration belongs to the ranking {calibration.ranking}, but "
            f"{'there is no' if pool is None else 'beside it is'} {FILE}; copy the whole folder "
            "of the calibrate step"
        )
    if pool is None:
        return ranker
    folders = {name: folder / FOLDER / name for name in pool.look_ups}
    missing = [name for name, place in folders.items() if not place.is_dir()]
    if missing:
        raise DataError(
            f"{folder}: {FILE} joins the student with {', '.join(missing)}, and there is no "
            f"{FOLDER}/{missing[0]}; copy the whole folder of the calibrate step"
        )
    look_ups = NoteLookUps(folders, catalogue)
    temperature = calibration.temperature if calibration else 1.0
    return FusedRanker(ranker, look_ups, pool, listed=listed, temperature=temperature)
