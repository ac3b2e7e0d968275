"""Definitions of the metrics and strata, and the file `metrics.json`."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from mint_ray.common.files import write_text
from mint_ray.errors import DataError


class MetricValue(TypedDict):
    """A value with its 95% interval over `n` cases, or groups if each counts once; null without."""

    value: float | None
    low: float | None
    high: float | None
    n: int


Metrics = dict[str, dict[str, dict[str, MetricValue]]]
"""{system: {stratum: {metric: value}}}, the content of `metrics.json`."""


@dataclass(frozen=True)
class MetricDefinition:
    """Title, format and meaning of a metric, in words for a reader of the report."""

    title: str
    higher_is_better: bool
    is_share: bool
    meaning: str


_OVER_CASES: dict[str, MetricDefinition] = {
    "top1": MetricDefinition(
        "Top-1", True, True, "Share of cases whose first answer is the known one, compared by id."
    ),
    "top3": MetricDefinition(
        "Top-3", True, True, "Share of cases with the known answer among the first three, by id."
    ),
    "top5": MetricDefinition(
        "Top-5", True, True, "Share of cases with the known answer among the first five, by id."
    ),
    "top10": MetricDefinition(
        "Top-10", True, True, "Share of cases with the known answer among the first ten, by id."
    ),
    "balanced_accuracy": MetricDefinition(
        "Balanced",
        True,
        True,
        "Balanced accuracy: the share of first answers that are right, for each known answer by "
        "itself, averaged over the known answers. Guessing reaches 1 / number of answers.",
    ),
    "macro_f1": MetricDefinition(
        "Macro-F1",
        True,
        True,
        "F1 of the first answers for each answer by itself, 2·tp / (2·tp + fp + fn), averaged "
        "over the answers that are known or given for some case.",
    ),
    "top1_by_group": MetricDefinition(
        "Top-1 by group",
        True,
        True,
        "Share of groups (patients, slides) whose one answer is the known one: that of the highest "
        "mean log probability over the group's cases. A group with several known answers counts "
        "once for each.",
    ),
    "mrr": MetricDefinition(
        "MRR", True, False, "Mean of 1 / rank of the known answer; 0 where it was not ranked."
    ),
    "nll": MetricDefinition(
        "NLL",
        False,
        False,
        "Mean −log probability (nats) of the known answer. A probability below 1e-12, or no "
        "answer at all, counts as 1e-12, that is 27.6.",
    ),
    "brier": MetricDefinition(
        "Brier",
        False,
        False,
        "Mean of (confidence − correctness)² of the first answer, correctness being 1 or 0.",
    ),
    "ece": MetricDefinition(
        "ECE",
        False,
        False,
        "Expected calibration error of the first answer: |confidence − accuracy| averaged over "
        "equal-width confidence bins, weighted by their cases.",
    ),
    "ece_mass": MetricDefinition(
        "ECE mass",
        False,
        False,
        "ECE over bins that hold equally many cases instead (equal mass), so that each bin counts "
        "however confidences are spread; equal confidences stay in one bin (Nixon et al., arXiv "
        "1904.01685).",
    ),
    "ece_debiased": MetricDefinition(
        "ECE debiased",
        False,
        False,
        "Root mean square of |confidence − accuracy| of the first answer over equal-width bins, "
        "weighted by their cases, less what chance alone explains, so that perfect calibration has "
        "0 on average; negative where the gaps are smaller than chance makes them (Kumar et al., "
        "arXiv 1909.10155, between groups).",
    ),
    "ece_mass_debiased": MetricDefinition(
        "ECE mass debiased",
        False,
        False,
        "The debiased ECE over bins that hold equally many cases instead (equal mass).",
    ),
    "auroc": MetricDefinition(
        "AUROC",
        True,
        False,
        "Probability that a right first answer has a higher confidence than a wrong one, ties "
        "counting half: 0.5 says that confidence tells nothing, 1 that it separates them. There is "
        "none where all answers are right, or all wrong.",
    ),
    "classwise_ece": MetricDefinition(
        "Classwise ECE",
        False,
        False,
        "|probability − frequency| of each answer, right or wrong, averaged over equal-width bins "
        "of its probability, weighted by their cases, then over all answers (Nixon et al., arXiv "
        "1904.01685; Xiao et al., arXiv 2505.01997).",
    ),
    "hallucination_free": MetricDefinition(
        "Hallucination-free",
        True,
        True,
        "Share of the named answers that exist in the catalogue, averaged over cases; a case "
        "without any answer counts as 0. It is 1 by construction for constrained ranking, so that "
        "its interval has a meaning for free answers only.",
    ),
    "top1_lenient": MetricDefinition(
        "Top-1, lenient",
        True,
        True,
        "The paper's metric: the first answer's name is at least 0.8 similar (difflib, lower "
        "case, no punctuation) to a name of the known answer. Different diseases can be that "
        "similar, so it overstates accuracy.",
    ),
    "top10_lenient": MetricDefinition(
        "Top-10, lenient", True, True, "The same over the first ten answers."
    ),
    "coverage": MetricDefinition(
        "Coverage",
        True,
        True,
        "Share of the student's first k names that are among the teacher's best k, k being the "
        "length of the chosen answer in the preference pairs. A student with the teacher's ranking "
        "reaches 1.",
    ),
    "avoidance": MetricDefinition(
        "Avoidance",
        True,
        True,
        "1 − share of the student's first k names that are among the teacher's worst, as many as "
        "a rejected answer has.",
    ),
    "car": MetricDefinition(
        "CAR",
        True,
        True,
        "(1 + λ)·C·A / (λ·C + A) of mean coverage C and mean avoidance A, with λ = 0.5.",
    ),
}

MACRO = "_macro"
"""End of the name of a metric in which each group counts once."""

MACRO_MEANING = (
    "Mean over groups (publications, patients, slides) of the mean over the group's cases, so that "
    "a large group counts no more than a small one. Metrics that are no means over cases, such as "
    "ECE, weight each case by 1 / size of its group."
)

METRICS: dict[str, MetricDefinition] = _OVER_CASES | {
    f"{name}{MACRO}": replace(
        definition,
        title=f"{definition.title}, macro",
        meaning=f"{definition.meaning} Each group counts once.",
    )
    for name, definition in _OVER_CASES.items()
    if name != "top1_by_group"  # already counts groups
}
"""Every metric over cases, then every one over groups; in the order of tables."""


def is_macro(metric: str) -> bool:
    """Return whether each group counts once in a metric."""
    return metric.endswith(MACRO)


ANSWERED_FREELY = "answered_freely"
"""Stratum of the cases with freely generated answers, where other cases have none: rankings and
free answers are compared on it."""

STRATA: dict[str, str] = {
    "all": "All cases",
    "seen": "Diseases seen in training",
    "unseen": "Diseases not seen in training",
    "published": "Cases with a publication",
    "unpublished": "Cases without a publication",
    "described": "Cases with a text for the teacher alone",
    "undescribed": "Cases without a text for the teacher alone",
    ANSWERED_FREELY: "Cases that were also answered freely",
}


def strata_of(metrics: Metrics) -> list[str]:
    """Return all strata of all systems: those of `STRATA` first, then the others."""
    measured = dict.fromkeys(stratum for by_stratum in metrics.values() for stratum in by_stratum)
    known = [stratum for stratum in STRATA if stratum in measured]
    return known + [stratum for stratum in measured if stratum not in STRATA]


def stratum_title(metrics: Metrics, stratum: str) -> str:
    """Return the title of a stratum; few answers are tissues, many are diseases."""
    title = STRATA.get(stratum, stratum)
    return title.replace("Diseases", "Tissues") if has_classes(metrics) else title


def has_classes(metrics: Metrics) -> bool:
    """Return whether answers were few enough for `CLASS_METRICS`."""
    return any("balanced_accuracy" in by.get("all", {}) for by in metrics.values())


def stratum_size(metrics: Metrics, stratum: str) -> int:
    """Return the number of cases of a stratum: the most that any system was measured on."""
    return max((system_size(metrics, system, stratum) for system in metrics), default=0)


def system_size(metrics: Metrics, system: str, stratum: str) -> int:
    """Return the number of cases that one system was measured on."""
    values = metrics[system].get(stratum, {}).values()
    return max((value["n"] for value in values), default=0)


def has_ranks_only(metrics: Metrics, system: str) -> bool:
    """Return whether a system lists names without probabilities, beside systems that have them.

    Its calibration and the likelihood of its answers are not measured.
    """
    sure = {name for name, strata in metrics.items() if "nll" in strata.get("all", {})}
    return bool(sure) and system not in sure


def write_metrics(path: Path, metrics: Metrics) -> None:
    """Write `metrics.json`; it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(metrics, indent=1, allow_nan=False) + "\n")


def read_metrics(path: Path) -> Metrics:
    """Read `metrics.json`.

    Raises:
        DataError: the file is missing or damaged, or has another structure.
    """
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"metrics not found: {path} (run the evaluate stage first)") from error
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is not readable JSON: {error}") from error
    if not _is_metrics(tree):
        raise DataError(
            f"{path}: expected {{system: {{stratum: {{metric: {{value, low, high, n}}}}}}}}, found "
            "another structure; run `mint evaluate CONFIG --force`"
        )
    metrics: Metrics = tree
    return metrics


def _is_metrics(tree: object) -> bool:
    if not isinstance(tree, dict):
        return False
    for by_stratum in tree.values():
        if not isinstance(by_stratum, dict):
            return False
        for by_metric in by_stratum.values():
            if not isinstance(by_metric, dict):
                return False
            if not all(_is_value(value) for value in by_metric.values()):
                return False
    return True


def _is_value(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"value", "low", "high", "n"}


def format_value(metric: str, value: float | None) -> str:
    """Format a value for tables; "–" for a value that is None or not finite.

    Shares are in percent with one decimal, other values have two or three decimals.
    """
    if value is None or not math.isfinite(value):
        return "–"
    definition = METRICS.get(metric)
    if definition is not None and definition.is_share:
        return f"{100 * value:.1f}"
    is_nll = metric in ("nll", f"nll{MACRO}")
    return f"{value:.2f}" if abs(value) >= 10 or is_nll else f"{value:.3f}"
