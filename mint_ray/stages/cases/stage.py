"""Stage `cases`: cases that are read, simulated or drawn, split by whole groups.

Writes `cases.parquet`, `rejected.parquet`, `catalogue.parquet` and `excluded_publications.txt`
(publications that are not enough as the only source of an annotation; an empty file for images).
"""

from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.stages.cases import patients as patient_cases
from mint_ray.stages.cases import tiles as tile_cases


def run(context: StepContext) -> StepOutcome:
    """Write the case table and the catalogue of the task."""
    if context.config.task == "tissue":
        return tile_cases.run(context)
    return patient_cases.run(context)
