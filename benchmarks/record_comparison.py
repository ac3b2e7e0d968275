"""Figures of a finished comparison: metrics, paired differences and costs of all systems.

    mint compare configs/compare_phenopackets.yaml cases.path=phenopackets.zip
    python benchmarks/record_comparison.py configs/compare_phenopackets.yaml \
        --command 'mint compare configs/compare_phenopackets.yaml cases.path=phenopackets.zip' \
        --out benchmarks/results/compare_phenopackets.json cases.path=phenopackets.zip

`--command` is the command that a reader can repeat; it is recorded as given.
"""

from typing import Any

from record_run import hardware, main

from mint_ray.common.files import read_json
from mint_ray.errors import ConfigError
from mint_ray.evaluation.results import read_metrics
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.check import load_run
from mint_ray.pipeline.manifest import read_manifest


def record(path: str, overrides: list[str], command: str) -> dict[str, Any]:
    """Collect all figures of a comparison that its results table shows.

    Raises:
        ConfigError: the comparison is not complete.
    """
    folder = pipeline.plan(load_run(path, overrides))["compare"].folder
    manifest = read_manifest(folder)
    if manifest is None or not manifest.complete:
        raise ConfigError(f"the comparison is not complete; run: {command}")
    return {
        "command": command,
        "date": manifest.finished,
        "hardware": hardware(),
        "versions": manifest.versions,
        "seed": manifest.seed,
        "facts": manifest.facts,
        "metrics": read_metrics(folder / "metrics.json"),
        **read_json(folder / "differences.json"),
        "costs": read_json(folder / "costs.json"),
        # Comparisons of before have neither.
        **{
            name: read_json(folder / f"{name}.json")
            for name in ("watched", "rates")
            if (folder / f"{name}.json").is_file()
        },
    }


if __name__ == "__main__":
    main(record, __doc__)
