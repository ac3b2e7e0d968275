"""Settings of calibration and promotion: which student, and what it has to prove."""

from typing import Annotated, Literal

from pydantic import Field

from mint_ray.config.base import Section, Word


class PromotionConfig(Section):
    """Calibration of a finished student, and its way into the MLflow registry."""

    source: Annotated[Literal["train", "tune"], Word] = "train"
    """The step whose student is calibrated and promoted: `train`, or the winner of `tune`."""
    coverage: float = Field(0.9, gt=0, lt=1)
    """Share of new patients whose conformal set is to hold the right answer."""
    metric: Literal["mrr", "top1", "top3", "top10", "nll"] = "mrr"
    """What a champion has to be beaten in, on the same test cases: the paired 95 % interval over
    groups has to leave 0 out."""
    model_name: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]+$")
    """Registered model; default `mint-text` or `mint-vision`, by the task."""
