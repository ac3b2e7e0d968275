"""Calibration of a student's probabilities and sets of answers.

A calibration is fitted on validation groups, measured on test groups, and written beside the
student as `calibration.json`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from mint_ray.common.arrays import Bools, Floats
from mint_ray.common.files import read_json, write_json
from mint_ray.common.probabilities.temperature import top_confidence
from mint_ray.config.promotion import RankedBy
from mint_ray.errors import DataError
from mint_ray.evaluation.calibration.conformal import (
    group_weights,
    groups_needed,
    p_value,
    threshold,
)
from mint_ray.evaluation.calibration.scores import (
    LOG_TEMPERATURE,
    ScoredCases,
    case_values,
    fit_confidence,
    probabilities,
)
from mint_ray.evaluation.metrics.bootstrap import macro_weights
from mint_ray.evaluation.metrics.columns import Columns, confidence_blocks, measure_columns
from mint_ray.evaluation.results import MetricValue

FILE = "calibration.json"
FORMAT = 3
"""Number that rises with the meaning of the file. In format 2 the temperature was fitted without
the answers that the search did not reach, and the NLL was measured with a floor for them. Another
loss of the fit leaves the meaning: sets and measurements belong to the temperature beside them."""

_ROUNDING = 1e-9  # a probability that is computed again differs by less than this

Search = Literal["auto", "exhaustive", "beam"]


@dataclass(frozen=True)
class AnswerCalibration:
    """A temperature, and a conformal threshold at a stated coverage.

    `misfit` (1 − probability) and `weights` are those of the right answers of validation cases, by
    ascending misfit; the threshold is one of the misfits. An answer that the search did not reach
    is not among them. It counts as a worse misfit than all of them, because the weights then sum
    to less. `search`, `beam_width` and `top_k` decide which names are scored, so the calibration
    holds only while they are the same.
    """

    temperature: float
    coverage: float
    threshold: float
    """Greatest 1 − probability in a set; infinite where only the whole catalogue is enough."""
    misfit: tuple[float, ...]
    weights: tuple[float, ...]
    groups: int
    cases: int
    not_in_catalogue: int
    """Number of validation cases that were not used, since the catalogue lacks their answer."""
    search: Search
    beam_width: int
    top_k: int
    not_reached: int
    """Number of validation cases whose answer a beam search did not reach; the catalogue has it."""
    ranking: RankedBy = "student"
    """Ranking that the probabilities belong to: the student's, or its pool with look-ups."""
    best_misfit: tuple[float, ...] = ()
    """1 − probability of the best answers, right or wrong, of the same cases, ascending; `()` in
    the files of earlier releases."""
    best_weights: tuple[float, ...] = ()
    """Weights of these cases."""
    measured: Mapping[str, Mapping[str, MetricValue]] = field(default_factory=dict)
    """Metrics on the test groups, `before` and `after` calibration; see `measure`.

    mrr, top1, top3 and top10 are equal in both, nll and ece are not. Only `after` has coverage (of
    cases whose answer the catalogue has), set_size and none_of_these."""

    def contains(self, probability: Floats) -> Bools:
        """Return which answers belong to the set, by their calibrated probabilities; same shape."""
        inside: Bools = 1.0 - probability <= self.threshold + _ROUNDING
        return inside

    def set_size(self, scored: Floats, n_labels: int) -> int:
        """Return the number of names in the set.

        Args:
            scored: calibrated probabilities of all names that were scored.
            n_labels: size of the catalogue, which is the set where the threshold is infinite.
        """
        return n_labels if math.isinf(self.threshold) else int(self.contains(scored).sum())

    def fit_of_best(self, probability: float) -> float:
        """Return the p-value of a case's best answer; a small one means that no name fits.

        It is the share of cases whose best answer fits as badly as this one. Among cases whose
        right answer the catalogue has, it is at most p in at most a share p. In a file of an
        earlier release these are the right answers, with which a best one compares too well.

        Args:
            probability: calibrated probability of the best answer.
        """
        misfit, weights = self.misfit, self.weights
        if self.best_misfit:
            misfit, weights = self.best_misfit, self.best_weights
        return p_value(np.array(misfit), np.array(weights), 1.0 - probability - _ROUNDING)

    def fits_none(self, probability: float) -> bool:
        """Return whether none of the names fits, by the probability of a case's best answer.

        That is said of at most 1 − `coverage` of the cases whose right answer the catalogue has.
        """
        return self.fit_of_best(probability) <= 1.0 - self.coverage + _ROUNDING

    def with_measured(
        self, measured: Mapping[str, Mapping[str, MetricValue]]
    ) -> "AnswerCalibration":
        """Return this calibration with the result of `measure`."""
        return replace(self, measured=measured)

    def remarks(self) -> list[str]:
        """Return caveats about the calibration, each a sentence without its full stop."""
        remarks = []
        if self.groups < groups_needed(self.coverage):
            remarks.append(
                f"{self.groups} validation groups are too few for sets with {self.coverage:.0%} "
                f"coverage (at least {groups_needed(self.coverage)} are needed): every set is the "
                "whole catalogue"
            )
        elif math.isinf(self.threshold):
            remarks.append(
                f"the search reaches too few answers for sets with {self.coverage:.0%} coverage: "
                "every set is the whole catalogue"
            )
        if self.not_reached:
            remarks.append(
                f"the search did not reach the answer of {self.not_reached} of {self.cases} "
                "validation cases (evaluation.beam_width, or evaluation.search=exhaustive)"
            )
        if abs(math.log(self.temperature)) > LOG_TEMPERATURE[1] - 0.01:
            remarks.append(
                f"the temperature, {self.temperature:.3g}, is at an end of the range that is "
                "searched: no temperature suits this student"
            )
        if self.not_in_catalogue:
            remarks.append(
                f"{self.not_in_catalogue} validation cases have an answer that the catalogue lacks"
            )
        return remarks


def calibrate(
    cases: ScoredCases,
    coverage: float,
    *,
    search: Search,
    beam_width: int,
    top_k: int,
    ranking: RankedBy = "student",
) -> AnswerCalibration:
    """Fit a calibration on validation cases.

    Args:
        cases: validation cases.
        coverage: wanted probability that a set contains the right answer, between 0 and 1.
        search, beam_width, top_k, ranking: with which the cases were scored; kept for reference.

    Raises:
        DataError: there is no case whose answer is in the catalogue and was scored.
    """
    temperature = fit_confidence(cases)
    known, reached = cases.answerable, cases.reached
    misfit = np.array(
        [
            1.0 - probabilities(scores, temperature)[answer]
            for scores, answer, scored in zip(cases.scores, cases.answers, reached, strict=True)
            if scored and answer is not None
        ]
    )
    by_case = group_weights(cases.groups[known])
    weights = by_case[reached[known]]
    order = np.argsort(misfit, kind="stable")
    best = np.array(
        [
            1.0 - probabilities(scores, temperature)[0]
            for scores, usable in zip(cases.scores, known, strict=True)
            if usable
        ]
    )
    by_best = np.argsort(best, kind="stable")
    return AnswerCalibration(
        temperature=temperature,
        coverage=coverage,
        threshold=threshold(misfit, weights, coverage),
        misfit=tuple(misfit[order].tolist()),
        weights=tuple(weights[order].tolist()),
        groups=len(np.unique(cases.groups[known])),
        cases=int(known.sum()),
        not_in_catalogue=int((~known).sum()),
        not_reached=int((known & ~reached).sum()),
        search=search,
        beam_width=beam_width,
        top_k=top_k,
        ranking=ranking,
        best_misfit=tuple(best[by_best].tolist()),
        best_weights=tuple(by_case[by_best].tolist()),
    )


def measure(
    calibration: AnswerCalibration,
    cases: ScoredCases,
    n_labels: int,
    *,
    bins: int,
    samples: int,
    seed: int,
) -> dict[str, dict[str, MetricValue]]:
    """Measure metrics `before` and `after` calibration, with 95 % intervals over groups.

    Args:
        calibration: to measure.
        cases: test cases.
        n_labels: size of the catalogue, which is the set where the threshold is infinite.
        bins: number of confidence bins of the ECE.
        samples: number of bootstrap resamples of whole groups.
        seed: of the resamples.

    Returns:
        Metric by name for `before` and `after`: top1, top3, top10, mrr, nll, ece, ece_mass, both
        with the end _debiased, and auroc where some first answers are right and some wrong; and for
        `after` also set_size (names), none_of_these (share of the cases that no name fits; with
        the ends _outside and _inside of those whose answer the catalogue lacks and of the others)
        and coverage (share of the cases whose answer the catalogue has). Names that end in
        `_macro` are the same with each group counting once.
    """
    measured: dict[str, dict[str, MetricValue]] = {}
    for name, temperature in (("before", 1.0), ("after", calibration.temperature)):
        means = dict(case_values(cases, temperature))
        known = cases.answerable
        of_parts: list[tuple[str, Floats, Bools]] = []
        if name == "after":
            means |= _set_columns(calibration, cases, n_labels)
            of_parts = [
                ("coverage", means.pop("coverage"), known),
                ("none_of_these_inside", means["none_of_these"], known),
                ("none_of_these_outside", means["none_of_these"], ~known),
            ]
        confidence = top_confidence(cases.scores, temperature)
        correct = np.array([answer == 0 for answer in cases.answers], dtype=np.bool_)
        measured[name] = {}
        for macro in (False, True):
            weights = macro_weights(cases.groups) if macro else None
            blocks = confidence_blocks(confidence, correct, bins, cases.groups, weights)
            columns = Columns(means, blocks, cases.groups, weights)
            measured[name] |= measure_columns(columns, samples, seed)
            for metric, values, part in of_parts:
                groups = cases.groups[part]
                weights = macro_weights(groups) if macro else None
                columns = Columns({metric: values[part]}, {}, groups, weights)
                measured[name] |= measure_columns(columns, samples, seed)
    return measured


def _set_columns(
    calibration: AnswerCalibration, cases: ScoredCases, n_labels: int
) -> dict[str, Floats]:
    """Return `set_size`, `coverage` and `none_of_these`, (n,) each.

    No set covers an answer that the catalogue lacks.
    """
    sizes, covered, none = [], [], []
    for scores, answer in zip(cases.scores, cases.answers, strict=True):
        scored = probabilities(scores, calibration.temperature)
        size = calibration.set_size(scored, n_labels)
        sizes.append(size)
        none.append(calibration.fits_none(float(scored[0])))
        if answer is None:
            covered.append(False)
        elif answer < len(scored):
            covered.append(bool(calibration.contains(scored[answer])))
        else:
            covered.append(size == n_labels)
    set_size = np.array(sizes, dtype=np.float64)
    return {
        "set_size": set_size,
        "coverage": np.array(covered, dtype=np.float64),
        "none_of_these": np.array(none, dtype=np.float64),
    }


def write_calibration(folder: Path, calibration: AnswerCalibration) -> None:
    """Write `calibration.json`; it appears whole or not at all."""
    content = {"format": FORMAT} | asdict(calibration)
    if math.isinf(calibration.threshold):
        content["threshold"] = None  # JSON has no infinity
    write_json(folder / FILE, content)


def read_calibration(folder: Path) -> AnswerCalibration | None:
    """Read the calibration of a student's folder; return None where there is no such file.

    Raises:
        DataError: the file is not a calibration of this format.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    found = "a damaged one"
    try:
        content = read_json(file)
        if (number := content.pop("format")) != FORMAT:
            found = f"one of format {number:d}, whose temperature and NLL mean another thing"
            raise ValueError("another format")
        content["threshold"] = math.inf if content["threshold"] is None else content["threshold"]
        content["misfit"] = _numbers(content["misfit"], 0.0, 1.0)
        content["weights"] = _numbers(content["weights"], 0.0, 1.0)
        for name in ("best_misfit", "best_weights"):
            content[name] = _numbers(content.get(name, ()), 0.0, 1.0)
        calibration = AnswerCalibration(**content)
        _numbers([calibration.temperature], 1e-3, 1e3)
        _numbers([calibration.coverage], 0.0, 1.0)
        if calibration.search not in get_args(Search):
            raise ValueError(f"unknown search {calibration.search!r}")
        if len(calibration.misfit) != len(calibration.weights) or sum(calibration.weights) >= 1.0:
            raise ValueError("expected one weight for each misfit, with a sum below 1")
        if len(calibration.best_misfit) != len(calibration.best_weights):
            raise ValueError("expected one weight for each best answer")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{file}: expected a calibration of format {FORMAT}, found {found} "
            f"({type(error).__name__}); run `mint calibrate CONFIG --force` and promote the "
            "student again"
        ) from error
    return calibration


def _numbers(values: Sequence[float], low: float, high: float) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if not all(low <= number <= high for number in numbers):
        raise ValueError(f"expected numbers from {low} to {high}")
    return numbers
