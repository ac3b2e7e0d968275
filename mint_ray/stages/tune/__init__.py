"""Stage `tune`: a campaign of training runs on Ray Tune."""

from mint_ray.stages.tune.stage import run

__all__ = ["run"]
