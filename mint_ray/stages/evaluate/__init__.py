"""Stage `evaluate`: rankings of held-out cases by every system, metrics and report."""

from mint_ray.stages.evaluate.stage import run

__all__ = ["run"]
