"""Logarithmic opinion pool of a student and look-ups: one probability per label.

    log p(label) = Σ wᵢ log(pᵢ(label) + εᵢ) − log Z

A label needs the support of all experts to rank high, and the floor εᵢ says how much an expert may
hold against a label that it does not know. A case without findings is the student's alone. Source:
Genest and Zidek, "Combining Probability Distributions", 1986; the floors are ours.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax

from mint_ray.common.arrays import Bools, Floats, Floats32, Ints
from mint_ray.common.files import read_json, write_json
from mint_ray.config.promotion import RankedBy
from mint_ray.errors import DataError

FILE = "fused.json"
FORMAT = 2


@dataclass(frozen=True)
class Experts:
    """Log-probabilities that student and look-ups give to the labels of n cases.

    Attributes:
        student: (n, n_labels) log-probabilities, −∞ for names that the search did not score.
        look_ups: of each look-up (n, n_labels) log-probabilities; NaN in the rows of cases without
            findings.
    """

    student: Floats
    look_ups: tuple[Floats32, ...]

    @property
    def informed(self) -> Bools:
        """Return (n,) whether every look-up judges a case."""
        judged: Bools = np.all([~np.isnan(logps).any(axis=1) for logps in self.look_ups], axis=0)
        return judged

    def take(self, rows: Bools | Ints) -> tuple[Floats | Floats32, ...]:
        """Return what student and look-ups say about some cases, the student first."""
        return (self.student[rows], *(logps[rows] for logps in self.look_ups))


def experts_of(
    labels: Sequence[Ints], scores: Sequence[Floats], look_ups: Sequence[Floats32]
) -> Experts:
    """Return the experts on n cases.

    Args:
        labels: of each case, positions in the catalogue of the m names that the student scored.
        scores: (m,) of each case, summed log-probabilities of these names.
        look_ups: at least one; of each (n, n_labels) log-probabilities, NaN rows without findings.
    """
    student = np.full(look_ups[0].shape, -np.inf)
    for row, (scored, values) in enumerate(zip(labels, scores, strict=True)):
        student[row, scored] = log_softmax(values)
    return Experts(student, tuple(look_ups))


@dataclass(frozen=True)
class OpinionPool:
    """A fitted pool.

    Attributes:
        look_ups: names of the look-ups.
        weights: w of the student, then of the look-ups.
        floors: log ε of the same, in nats.
        student_temperature: of the student's scores, for cases that it judges alone.
        cases: number of cases with a known answer that it was fitted to.
        informed: number of these that have findings, to which weights and floors were fitted.
    """

    look_ups: tuple[str, ...]
    weights: tuple[float, ...]
    floors: tuple[float, ...]
    student_temperature: float
    cases: int
    informed: int

    def log_probabilities(self, experts: Experts) -> Floats:
        """Return (n, n_labels) log-probabilities, whose exponentials sum to one in each row.

        Without findings they are the student's, −∞ for names that its search did not score.
        """
        pooled: Floats = log_softmax(experts.student / self.student_temperature, axis=1)
        rows = experts.informed
        if rows.any():
            taken = experts.take(rows)
            pooled[rows] = log_softmax(weighted_sum(self.weights, self.floors, taken), axis=1)
        return pooled

    def plain(self) -> dict[str, Any]:
        """Return plain JSON from which `of_plain` makes an equal pool."""
        return dict(vars(self))

    @classmethod
    def of_plain(cls, content: Mapping[str, Any]) -> "OpinionPool":
        """Make the pool that gave this `content`."""
        return cls(
            tuple(str(name) for name in content["look_ups"]),
            tuple(float(value) for value in content["weights"]),
            tuple(float(value) for value in content["floors"]),
            float(content["student_temperature"]),
            int(content["cases"]),
            int(content["informed"]),
        )


def floored(log_probabilities: Floats | Floats32, floor: float) -> Floats:
    """Return log(p + ε) for log-probabilities and the floor log ε."""
    result: Floats = np.logaddexp(np.asarray(log_probabilities, dtype=np.float64), floor)
    return result


def weighted_sum(
    weights: Iterable[float], floors: Iterable[float], experts: Sequence[Floats | Floats32]
) -> Floats:
    """Return the pool's (n, n_labels) Σ wᵢ log(pᵢ + εᵢ), before it is normalised.

    Args:
        weights: w of each expert.
        floors: log ε of each expert.
        experts: of each (n, n_labels) log-probabilities.
    """
    terms = zip(weights, floors, experts, strict=True)
    total: Floats = np.sum([w * floored(logps, floor) for w, floor, logps in terms], axis=0)
    return total


def write_pool(folder: Path, pool: OpinionPool) -> None:
    """Write `fused.json`; it appears whole or not at all."""
    write_json(folder / FILE, {"format": FORMAT, **pool.plain()})


def ranked_by(folder: Path) -> RankedBy:
    """Return what ranks in the name of a student's folder: `fused` where it has a `fused.json`."""
    return "fused" if (folder / FILE).is_file() else "student"


def read_pool(folder: Path) -> OpinionPool | None:
    """Read the pool of a folder; return None where there is none.

    Raises:
        DataError: the file is not a pool of this format.
    """
    if ranked_by(folder) == "student":
        return None
    file = folder / FILE
    try:
        content = read_json(file)
        if content["format"] != FORMAT:
            raise ValueError("format")
        return OpinionPool.of_plain(content)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{file}: expected a pool of student and look-ups of format {FORMAT}, found another "
            f"content ({type(error).__name__}); run the command that wrote it again, `mint "
            "evaluate` or `mint calibrate`, with --force"
        ) from error
