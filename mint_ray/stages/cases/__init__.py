"""Stage `cases`."""

from mint_ray.stages.cases.stage import run

__all__ = ["run"]
