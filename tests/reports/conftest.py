"""Results to draw, as the tests of the evaluation make them."""

from tests.evaluation.conftest import case_table, cases, outcome_of, outcomes, predictions

__all__ = ["case_table", "cases", "outcome_of", "outcomes", "predictions"]
