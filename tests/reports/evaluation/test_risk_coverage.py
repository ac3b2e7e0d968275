import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import numpy as np
import pytest

from mint_ray.evaluation.outcomes import Outcomes
from mint_ray.reports.evaluation.risk_coverage import (
    risk_coverage,
    risk_coverage_plot,
)


def test_the_surest_are_answered_first(outcome_of: Callable[..., Outcomes]) -> None:
    coverage, risk = risk_coverage(outcome_of([0.2, 0.9, 0.5, 0.7], [False, True, False, True]))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert risk == pytest.approx([0, 0, 1 / 3, 1 / 2])


def test_equal_confidences_are_answered_together(outcome_of: Callable[..., Outcomes]) -> None:
    coverage, risk = risk_coverage(outcome_of([0.5, 0.5, 0.9], [True, False, True]))
    assert coverage.tolist() == [1 / 3, 1]
    assert risk.tolist() == [0, 1 / 3]


def test_the_drawing_has_a_curve_per_system(outcome_of: Callable[..., Outcomes]) -> None:
    confidence = np.random.default_rng(0).random(2000)
    outcome = outcome_of(confidence.tolist(), (confidence > 0.5).tolist())
    styles = {"orpo": "c-teal", "base": "c-amber"}
    svg = risk_coverage_plot({"orpo": outcome, "base": outcome}, styles)
    curves = list(ElementTree.fromstring(svg).iter("polyline"))
    assert [curve.attrib["class"] for curve in curves] == ["curve c-teal", "curve c-amber"]
    assert all(len(curve.attrib["points"].split()) < 300 for curve in curves)
