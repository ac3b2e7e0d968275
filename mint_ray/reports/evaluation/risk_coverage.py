"""Risk-coverage curves: error rate of the most confident first answers against their share."""

import math
from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from mint_ray.common.arrays import Floats
from mint_ray.evaluation.outcomes import Outcomes
from mint_ray.reports.svg import drawing, line, polyline, rectangle, text

_POINTS = 240  # of a drawn curve


def risk_coverage(outcome: Outcomes) -> tuple[Floats, Floats]:
    """Compute coverage and risk at every confidence threshold.

    Cases are answered from the highest confidence of the first answer down; cases of equal
    confidence are answered together.

    Returns:
        Coverage (m,), the share of cases answered, and risk (m,), the error rate among them; m is
        the number of distinct confidences. The last risk is the error rate of all cases.

    Source: El-Yaniv and Wiener, JMLR 11 (2010).
    """
    order = np.argsort(-outcome.confidence, kind="stable")
    confidence = outcome.confidence[order]
    errors = np.cumsum(~outcome.correct[order])
    last_of_ties = np.flatnonzero(np.append(confidence[1:] != confidence[:-1], True))
    answered = last_of_ties + 1
    return answered / len(order), errors[last_of_ties] / answered


def risk_coverage_plot(outcomes: Mapping[str, Outcomes], styles: Mapping[str, str]) -> Markup:
    """Draw one curve per system, in the given style-sheet classes; lower is better."""
    width, height, left, top = 300, 170, 40, 8
    curves = {system: risk_coverage(outcome) for system, outcome in outcomes.items()}
    highest = max((float(risk.max()) for _, risk in curves.values()), default=0.0)
    # The axis ends at a multiple of a fifth.
    end = max(0.2, math.ceil(highest * 5 - 1e-9) / 5)

    def x(share: float) -> float:
        return left + share * width

    def y(share: float) -> float:
        return top + height * (1 - share / end)

    shapes = [rectangle(left, top, width, height, "frame")]
    for share in (0.0, end / 2, end):
        shapes.append(line(x(0), y(share), x(1), y(share), "grid"))
        shapes.append(text(left - 6, y(share) + 4, f"{share:.0%}", "tick", "end"))
    for share in (0.0, 0.5, 1.0):
        shapes.append(text(x(share), top + height + 16, f"{share:.0%}", "tick", "middle"))
    for system, (coverage, risk) in curves.items():
        indices = np.unique(np.linspace(0, len(coverage) - 1, _POINTS).round().astype(np.int64))
        points = [(x(float(coverage[i])), y(float(risk[i]))) for i in indices]
        shapes.append(polyline([(x(0), points[0][1]), *points], f"curve {styles[system]}"))
    shapes.append(text(x(0.5), top + height + 32, "coverage", "tick", "middle"))
    title = "Error rate of the surest first answers against their share, one curve per system"
    return drawing(left + width + 16, top + height + 38, title, shapes)
