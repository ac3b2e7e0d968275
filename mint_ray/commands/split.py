"""Command `mint split`: the splits of a config's cases, as a list for others."""

from pathlib import Path

from mint_ray.config.config import Config
from mint_ray.evaluation.case_sample import read_tested, sampled_from
from mint_ray.evaluation.split_list import split_list, write_split_list
from mint_ray.pipeline.graph import plan


def split(config: Config, out: Path) -> str:
    """Write the splits of a finished `cases` step; return a line that says what was written.

    Cases that were made from others are left out: they are no part of a case store.
    """
    cases, tested = read_tested(plan(config)["cases"].folder, config)
    origin = sampled_from(config, "test")
    write_split_list(out, split_list(cases, tested, origin))
    return f"{out}: {cases.num_rows} cases, {tested.num_rows} tested ({origin.describe()})"
