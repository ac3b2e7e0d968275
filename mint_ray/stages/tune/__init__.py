"""Stage `tune`."""

from mint_ray.stages.tune.stage import run

__all__ = ["run"]
