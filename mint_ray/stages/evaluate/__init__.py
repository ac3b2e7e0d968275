"""Stage `evaluate`."""

from mint_ray.stages.evaluate.stage import run

__all__ = ["run"]
