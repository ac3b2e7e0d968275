"""Figures of a finished campaign: trials, optimizer steps saved, difference to the default.

    mint tune configs/tune_demo.yaml
    mint promote configs/tune_demo.yaml promotion.source=tune
    python benchmarks/record_campaign.py configs/tune_demo.yaml \
        --command 'mint tune configs/tune_demo.yaml' --out benchmarks/results/tune_demo.json

`--command` is the command that a reader can repeat; it is recorded as given. If the winner was
promoted, the decision and the calibration are recorded too.
"""

from dataclasses import asdict
from typing import Any

from record_run import hardware, main

from mint_ray.commands.promote import DECISION
from mint_ray.common.files import read_json
from mint_ray.config.config import Config
from mint_ray.errors import ConfigError
from mint_ray.evaluation.calibration.calibrator import read_calibration
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.check import load_run
from mint_ray.pipeline.manifest import package_versions, read_manifest
from mint_ray.reports.campaign.table import trials_table
from mint_ray.tuning.results import Results, read_results
from mint_ray.tuning.trials import read_trials


def results_of(config: Config) -> Results:
    """Read the results of a complete campaign.

    Raises:
        ConfigError: the campaign is not complete.
    """
    folder = pipeline.plan(config)["tune"].folder
    manifest = read_manifest(folder)
    if manifest is None or not manifest.complete:
        raise ConfigError("the campaign is not complete; run mint tune with the same settings")
    return read_results(config, read_trials(folder))


def record(path: str, overrides: list[str], command: str) -> dict[str, Any]:
    """Load a config and record its campaign, see `record_campaign`."""
    return record_campaign(load_run(path, overrides), command)


def record_campaign(config: Config, command: str) -> dict[str, Any]:
    """Collect all figures of a campaign that tables and plots show."""
    results = results_of(config)
    planned = pipeline.plan(config)
    needed = [step.name for step in pipeline.needed_for("tune", config)]
    manifests = {name: read_manifest(planned[name].folder) for name in needed}
    return {
        "command": command,
        "hardware": hardware(),
        "versions": package_versions(),
        "seconds": {name: m.wall_seconds for name, m in manifests.items() if m},
        "campaign_seconds": read_json(planned["tune"].folder / "campaign.json")["seconds"],
        "metric": config.tune.metric,
        "space": {name: d.model_dump() for name, d in config.tune.space.items()},
        "cases": results.cases,
        "groups": results.groups,
        "trials": trials_table(results).to_pylist(),
        "steps_spent": results.spent,
        "steps_all_to_the_end": results.planned,
        "states": results.states,
        "importance": dict(results.importance),
        "winner_less_default": {name: asdict(gap) for name, gap in results.differences.items()},
        "recommendation": results.recommendation,
        "promotion": promotion_of(config),
    }


def promotion_of(config: Config) -> dict[str, Any] | None:
    """Read the outcome of `mint promote CONFIG promotion.source=tune`; None if it did not run."""
    promotion = config.promotion.model_copy(update={"source": "tune"})
    item = pipeline.plan(config.model_copy(update={"promotion": promotion}))["calibrate"]
    calibration = read_calibration(item.folder)
    decision = item.folder.parent / f"promote-{item.key}" / DECISION
    if calibration is None or not decision.is_file():
        return None
    return {
        "decision": read_json(decision),
        "temperature": calibration.temperature,
        "measured": calibration.measured,
        "remarks": calibration.remarks(),
    }


if __name__ == "__main__":
    main(record, __doc__)
