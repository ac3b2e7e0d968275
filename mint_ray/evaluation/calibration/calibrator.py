"""What is kept beside a student so that its probabilities and sets of answers can be trusted.

Fitted on validation groups alone, measured on test groups, written as `calibration.json`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from mint_ray.common.arrays import Bools, Floats
from mint_ray.common.files import read_json, write_json
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
    fit_temperature,
    probabilities,
)
from mint_ray.evaluation.metrics.bootstrap import percentile_interval, resample_blocks
from mint_ray.evaluation.metrics.ece import assign_bins, ece_of_sums
from mint_ray.evaluation.results import MetricValue

FILE = "calibration.json"
FORMAT = 2

_ROUNDING = 1e-9  # of a probability that was computed again

Search = Literal["auto", "exhaustive", "beam"]


@dataclass(frozen=True)
class AnswerCalibration:
    """A temperature, and a conformal threshold at a stated coverage.

    `misfit` and `weights` are those of the right answers that the threshold comes from, ascending;
    an answer that the search did not reach fits worse than any, and only its weight is missing.
    `search`, `beam_width` and `top_k` say which names were scored, and have to stay as they are.
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
    """Validation cases that taught nothing, since the catalogue lacks their answer."""
    search: Search
    beam_width: int
    top_k: int
    not_reached: int
    """Validation cases whose answer the catalogue has, but a beam search did not reach."""
    measured: Mapping[str, Mapping[str, MetricValue]] = field(default_factory=dict)
    """On the test groups, `before` and `after`: mrr, top1, top3, top10, which stay as they were,
    nll, ece; coverage (of cases whose answer the catalogue has), set_size, none_of_these."""

    def contains(self, probability: Floats) -> Bools:
        """Which answers belong to the set, by their calibrated probabilities.

        Where none does, the answer is: none of these.
        """
        inside: Bools = 1.0 - probability <= self.threshold + _ROUNDING
        return inside

    def set_size(self, scored: Floats, n_labels: int) -> int:
        """Names in the set, by the probabilities of all that were scored."""
        return n_labels if math.isinf(self.threshold) else int(self.contains(scored).sum())

    def fit_of_best(self, probability: float) -> float:
        """How often a right answer fits as badly as the best one here; small: none of these.

        Where the catalogue has the right answer, it is at most p in at most p of the cases.
        """
        weights = np.array(self.weights)
        return p_value(np.array(self.misfit), weights, 1.0 - probability)

    def with_measured(
        self, measured: Mapping[str, Mapping[str, MetricValue]]
    ) -> "AnswerCalibration":
        """The same with what `measure` found."""
        return replace(self, measured=measured)

    def remarks(self) -> list[str]:
        """What a reader of the numbers has to know, in words."""
        found = []
        if self.groups < groups_needed(self.coverage):
            found.append(
                f"{self.groups} validation groups are too few for sets with {self.coverage:.0%} "
                f"coverage (at least {groups_needed(self.coverage)} are needed): every set is the "
                "whole catalogue"
            )
        elif math.isinf(self.threshold):
            found.append(
                f"the search reaches too few answers for sets with {self.coverage:.0%} coverage: "
                "every set is the whole catalogue"
            )
        if self.not_reached:
            found.append(
                f"the search did not reach the answer of {self.not_reached} of {self.cases} "
                "validation cases (evaluation.beam_width, or evaluation.search=exhaustive)"
            )
        if abs(math.log(self.temperature)) > LOG_TEMPERATURE[1] - 0.01:
            found.append(
                f"the temperature, {self.temperature:.3g}, is at an end of the range that is "
                "searched: no temperature suits this student"
            )
        if self.not_in_catalogue:
            found.append(
                f"{self.not_in_catalogue} validation cases have an answer that the catalogue lacks"
            )
        return found


def calibrate(
    cases: ScoredCases, coverage: float, *, search: Search, beam_width: int, top_k: int
) -> AnswerCalibration:
    """Fit on validation cases; see `measure` for what it does to others.

    Raises:
        DataError: no case whose answer is in the catalogue.
    """
    temperature = fit_temperature(cases)
    known, reached = cases.answerable, cases.reached
    misfit = np.array(
        [
            1.0 - probabilities(scores, temperature)[answer]
            for scores, answer, found in zip(cases.scores, cases.answers, reached, strict=True)
            if found and answer is not None
        ]
    )
    weights = group_weights(cases.groups[known])[reached[known]]
    order = np.argsort(misfit, kind="stable")
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
    """`before` and `after` calibration, with 95 % intervals over groups.

    Args:
        n_labels: size of the catalogue, which is the set where the threshold is infinite.
        bins: equal-width confidence bins of the ECE.
    """
    found = {}
    for name, temperature in (("before", 1.0), ("after", calibration.temperature)):
        columns = dict(case_values(cases, temperature))
        if name == "after":
            columns |= _set_columns(calibration, cases, n_labels)
            columns["answerable"] = cases.answerable.astype(np.float64)
        blocks = {key: column[:, None] for key, column in columns.items()}
        blocks["gaps"] = _gaps(cases, temperature, bins)
        sums = resample_blocks(blocks, cases.groups, samples, seed)
        size = sums["cases"][:, 0]
        values = {key: sums[key][:, 0] / size for key in columns}
        values["ece"] = ece_of_sums(sums["gaps"], size)
        answerable = values.pop("answerable", None)
        found[name] = {key: _metric(value, len(cases)) for key, value in values.items()}
        if answerable is not None:
            found[name]["coverage"] = _share(values["coverage"], answerable, cases)
    return found


def _share(part: Floats, whole: Floats, cases: ScoredCases) -> MetricValue:
    """Of the answerable cases; resamples without any say nothing."""
    if not whole[0]:
        return MetricValue(value=None, low=None, high=None, n=0)
    some = whole > 0
    return _metric(part[some] / whole[some], int(cases.answerable.sum()))


def _set_columns(
    calibration: AnswerCalibration, cases: ScoredCases, n_labels: int
) -> dict[str, Floats]:
    """(n,) each; no set covers an answer that the catalogue lacks."""
    sizes, covered = [], []
    for scores, answer in zip(cases.scores, cases.answers, strict=True):
        scored = probabilities(scores, calibration.temperature)
        size = calibration.set_size(scored, n_labels)
        sizes.append(size)
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
        "none_of_these": (set_size == 0).astype(np.float64),
    }


def _gaps(cases: ScoredCases, temperature: float, bins: int) -> Floats:
    """(n, bins), see `calibration.gap_columns`."""
    confidence = np.array([probabilities(s, temperature).max() for s in cases.scores])
    correct = np.array([answer == 0 for answer in cases.answers], dtype=np.float64)
    columns = np.zeros((len(cases), bins))
    columns[np.arange(len(cases)), assign_bins(confidence, bins)] = confidence - correct
    return columns


def _metric(statistic: Floats, n: int) -> MetricValue:
    interval = percentile_interval(float(statistic[0]), statistic[1:], n)
    return MetricValue(value=interval.value, low=interval.low, high=interval.high, n=n)


def write_calibration(folder: Path, calibration: AnswerCalibration) -> None:
    """Write `calibration.json`; it appears whole or not at all."""
    content = {"format": FORMAT} | asdict(calibration)
    if math.isinf(calibration.threshold):
        content["threshold"] = None  # JSON has no infinity
    write_json(folder / FILE, content)


def read_calibration(folder: Path) -> AnswerCalibration | None:
    """The calibration of a student's folder, None where it has none.

    Raises:
        DataError: the file is there, but is no calibration of this format.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        content = read_json(file)
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        content["threshold"] = math.inf if content["threshold"] is None else content["threshold"]
        content["misfit"] = _numbers(content["misfit"], 0.0, 1.0)
        content["weights"] = _numbers(content["weights"], 0.0, 1.0)
        found = AnswerCalibration(**content)
        _numbers([found.temperature], 1e-3, 1e3)
        _numbers([found.coverage], 0.0, 1.0)
        if found.search not in get_args(Search):
            raise ValueError("an unknown search")
        if len(found.misfit) != len(found.weights) or sum(found.weights) >= 1.0:
            raise ValueError("weights that fit no groups")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{file} is no calibration of format {FORMAT} ({type(error).__name__}); run "
            "`mint calibrate CONFIG --force` and promote the student again"
        ) from error
    return found


def _numbers(values: Sequence[float], low: float, high: float) -> tuple[float, ...]:
    found = tuple(float(value) for value in values)
    if not all(low <= value <= high for value in found):
        raise ValueError("a number out of range")
    return found
