"""Stage `cases`: cases of patients or of tiles, split by whole groups."""

from mint_ray.stages.cases.stage import run

__all__ = ["run"]
