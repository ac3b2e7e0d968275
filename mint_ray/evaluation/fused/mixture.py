"""Mixture of a student and look-ups: one probability per label, weighted case by case.

    p(label) = w_0 p_student(label) + Σ w_i p_i(label)

The weights w come from a gate on what is known at answer time: how sure each expert is, and how
many findings the note has. A case without findings is the student's alone. Source: Jacobs et al.,
"Adaptive Mixtures of Local Experts", 1991, with experts that are fixed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import entr, log_softmax, logsumexp

from mint_ray.common.arrays import Bools, Floats, Floats32, Ints
from mint_ray.common.files import read_json, write_json
from mint_ray.common.probabilities.gate import Gate
from mint_ray.config.promotion import RankedBy
from mint_ray.errors import DataError

FILE = "fused.json"
FORMAT = 1
LEAST = -50.0
"""Least log-probability among the gate's features, in nats."""


@dataclass(frozen=True)
class Experts:
    """Log-probabilities that student and look-ups give to the labels of n cases.

    Attributes:
        student: (n, n_labels) log-probabilities, −∞ for names that the search did not score.
        look_ups: of each look-up (n, n_labels) log-probabilities; NaN in the rows of cases without
            findings.
        n_findings: (n,) findings that the note states as present.
    """

    student: Floats
    look_ups: tuple[Floats, ...]
    n_findings: Ints

    @property
    def informed(self) -> Ints:
        """Rows of the cases that every look-up can judge."""
        return np.flatnonzero(judged_by_all(self.look_ups)).astype(np.int64)

    def take(self, rows: Ints) -> "Experts":
        """Return what the experts say about the cases at `rows`."""
        look_ups = tuple(look_up[rows] for look_up in self.look_ups)
        return Experts(self.student[rows], look_ups, self.n_findings[rows])

    def features(self) -> Floats32:
        """Return (n, n_features) of informed cases, the gate's input.

        Of each expert: log-probability of its best label, the margin to its second best (in
        probability) and its entropy in nats. Last, ln(1 + findings).
        """
        columns = [c for logps in (self.student, *self.look_ups) for c in _sureness(logps)]
        return np.stack([*columns, np.log1p(self.n_findings)], axis=1).astype(np.float32)


def judged_by_all(look_ups: Iterable[Floats32 | Floats]) -> Bools:
    """Return (n,) whether every look-up judges a case, by its (n, n_labels) log-probabilities."""
    judged: Bools = np.all([~np.isnan(look_up).any(axis=1) for look_up in look_ups], axis=0)
    return judged


def _sureness(log_probabilities: Floats) -> tuple[Floats, Floats, Floats]:
    probabilities = np.exp(log_probabilities)
    kth = max(log_probabilities.shape[1] - 2, 0)
    best = np.sort(np.partition(probabilities, kth, axis=1)[:, kth:], axis=1)
    top = np.maximum(np.log(np.maximum(best[:, -1], 1e-300)), LEAST)
    margin = best[:, -1] - (best[:, 0] if best.shape[1] > 1 else 0.0)
    return top, margin, entr(probabilities).sum(axis=1)


def spread_scores(
    labels: Sequence[Ints], scores: Sequence[Floats], temperature: float, n_labels: int
) -> Floats:
    """Return (n, n_labels) a student's log-probabilities, −∞ for names that it did not score.

    Args:
        labels: of each case, positions in the catalogue of the m names that were scored.
        scores: (m,) of each case, summed log-probabilities of these names.
        temperature: by which scores are divided.
        n_labels: size of the catalogue.
    """
    result = np.full((len(labels), n_labels), -np.inf)
    for row, (scored, values) in enumerate(zip(labels, scores, strict=True)):
        result[row, scored] = log_softmax(values / temperature)
    return result


def tempered(log_probabilities: Floats32 | Floats, temperature: float) -> Floats:
    """Return (n, n_labels) the log-probabilities at a temperature; rows with NaN stay NaN."""
    result: Floats = log_softmax(
        np.asarray(log_probabilities, dtype=np.float64) / temperature, axis=1
    )
    return result


@dataclass(frozen=True)
class Mixture:
    """A fitted mixture.

    Attributes:
        look_ups: names of the look-ups, in the order of the gate's kinds after the student.
        student_temperature: of the student's scores.
        temperatures: of the look-ups' log-probabilities.
        gate: of the experts, the student first.
        cases: number of cases with a known answer that it was fitted to.
        informed: number of these that have findings, from which the gate was fitted.
    """

    look_ups: tuple[str, ...]
    student_temperature: float
    temperatures: tuple[float, ...]
    gate: Gate
    cases: int
    informed: int

    def experts(
        self,
        labels: Sequence[Ints],
        scores: Sequence[Floats],
        look_ups: Sequence[Floats32],
        n_findings: Ints,
    ) -> Experts:
        """Bring what n cases got from student and look-ups to this mixture's temperatures.

        Args:
            labels, scores: see `spread_scores`.
            look_ups: of each look-up (n, n_labels) log-probabilities; NaN rows without findings.
            n_findings: (n,) findings of the notes.
        """
        student = spread_scores(labels, scores, self.student_temperature, look_ups[0].shape[1])
        pairs = zip(look_ups, self.temperatures, strict=True)
        return Experts(student, tuple(tempered(logps, t) for logps, t in pairs), n_findings)

    def log_weights(self, experts: Experts) -> Floats:
        """Return (n, experts) log-weights; the student has all of a case without findings."""
        weights = np.full((len(experts.student), 1 + len(self.look_ups)), -np.inf)
        weights[:, 0] = 0.0
        rows = experts.informed
        if len(rows):
            features = experts.take(rows).features()
            exists = np.ones(weights.shape[1], dtype=np.bool_)
            weights[rows] = self.gate.log_probabilities(features, exists)
        return weights

    def log_probabilities(self, experts: Experts) -> Floats:
        """Return (n, n_labels) log-probabilities, whose exponentials sum to one in each row."""
        return mix(self.log_weights(experts), experts)

    def plain(self) -> dict[str, Any]:
        """Return plain JSON from which `of_plain` makes an equal mixture."""
        return {**vars(self), "gate": self.gate.plain()}

    @classmethod
    def of_plain(cls, content: Mapping[str, Any]) -> "Mixture":
        """Make the mixture that gave this `content`."""
        return cls(
            tuple(content["look_ups"]),
            float(content["student_temperature"]),
            tuple(float(value) for value in content["temperatures"]),
            Gate.of_plain(content["gate"]),
            int(content["cases"]),
            int(content["informed"]),
        )


def mix(log_weights: Floats, experts: Experts) -> Floats:
    """Return (n, n_labels) log Σ weight · probability over the experts.

    Args:
        log_weights: (n, experts), the student first.
        experts: of the n cases.
    """
    mixed = experts.student + log_weights[:, [0]]
    rows = experts.informed
    parts = [mixed[rows]]
    parts += [
        look_up[rows] + log_weights[rows][:, [kind]]
        for kind, look_up in enumerate(experts.look_ups, 1)
    ]
    mixed[rows] = logsumexp(parts, axis=0)
    return mixed


def write_mixture(folder: Path, mixture: Mixture) -> None:
    """Write `fused.json`; it appears whole or not at all."""
    write_json(folder / FILE, {"format": FORMAT, **mixture.plain()})


def ranked_by(folder: Path) -> RankedBy:
    """Return what ranks in the name of a student's folder: `fused` where it has a `fused.json`."""
    return "fused" if (folder / FILE).is_file() else "student"


def read_mixture(folder: Path) -> Mixture | None:
    """Read the mixture of a folder; return None where there is none.

    Raises:
        DataError: the file is not a mixture of this format.
    """
    if ranked_by(folder) == "student":
        return None
    file = folder / FILE
    try:
        content = read_json(file)
        if content["format"] != FORMAT:
            raise ValueError("format")
        return Mixture.of_plain(content)
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{file}: expected a mixture of format {FORMAT}, found another content "
            f"({type(error).__name__}); run `mint evaluate CONFIG --force` with fused among "
            "evaluation.systems"
        ) from error
