"""Stage `compare`: the rankings of all compared systems, joined, measured and set side by side."""

from mint_ray.stages.compare.stage import run

__all__ = ["run"]
