"""Stage `tune`: a campaign of training runs on Ray Tune, whose winner is the step's student.

Writes `trials/`, `trials.parquet`, `campaign.json`, `report.html`, and the winner's own files.
"""

import shutil
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import ray

from mint_ray.common.files import write_json
from mint_ray.config.config import Config
from mint_ray.errors import ConfigError, TrainingError
from mint_ray.evaluation.case_sample import sampled_from
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.reports.campaign.report import write_report
from mint_ray.reports.campaign.table import print_trials, trials_table
from mint_ray.runtime.placement import training_slots
from mint_ray.runtime.ray_train import RUN_NAME
from mint_ray.runtime.session import begin_training_session
from mint_ray.stages.tune.ray_tune import RAY_FOLDER, run_trials
from mint_ray.stages.tune.watch import watching
from mint_ray.stages.workers.training import (
    make_base_model,
    outcome_of,
    read_summary,
    refuse_leakage,
    worker_settings,
    write_validation_cases,
)
from mint_ray.stages.workers.trial import SETTINGS
from mint_ray.students.engines.deepspeed_presets import OFF, deepspeed_config
from mint_ray.tuning.campaign import Campaign, grid_size_of
from mint_ray.tuning.results import Results, read_results
from mint_ray.tuning.space import PAIRS, pairs_input, remarks, with_overrides
from mint_ray.tuning.stopping import rung_shares
from mint_ray.tuning.trials import TRIAL, Trial

CASES = "validation.parquet"
"""File in the step's folder with the validation cases that every trial ranks."""


def run(context: StepContext) -> StepOutcome:
    """Run the remaining trials of the campaign, write the report, copy the winner's files."""
    config, output = context.config, context.output
    _refuse_split_weights(config)
    for name, folder in context.inputs.items():
        if name.startswith(PAIRS):
            refuse_leakage(folder)
    validated = write_validation_cases(
        config, context.inputs["cases"], config.tune.validation_cases, output / CASES
    )
    begin_training_session(context.config.resources, context.output, context.progress.say)
    slots = training_slots(_nodes(), config.resources, config.tune.max_concurrent_trials)
    context.progress.say(f"[Placement] {slots.count} trial(s) at a time: {slots.why}")
    for remark in remarks(config):
        context.progress.say(f"[Space] {remark}")
    make_base_model(config.student.base_model, context.progress.say)
    campaign = Campaign(config, output, context.progress.say, prepare=partial(_prepare, context))
    size = grid_size_of(config)
    of = f" of {size} combinations" if size is not None and size > campaign.total else ""
    context.progress.say(
        f"[Search] {config.tune.algorithm}, {campaign.total} trials{of}, {config.tune.scheduler}, "
        f"{config.tune.metric} on {validated} validation cases "
        f"({sampled_from(config, 'validation').describe()})"
    )
    try:
        # Entered for a complete campaign too: a killed session may have left runs unrecorded.
        with watching(campaign, context.run, context.progress):
            if not campaign.is_complete():
                run_trials(campaign, slots.count, config.resources.max_failures)
    finally:
        campaign.on_interrupt()
        results = read_results(config, campaign.trials)
        pq.write_table(trials_table(results), output / "trials.parquet")
        if not campaign.is_complete() or campaign.gave_up:
            print_trials(results)
    if campaign.gave_up:
        raise TrainingError(
            f"{campaign.gave_up}; the same command tries the failed trials again, after "
            f"{campaign.counts()}"
        )
    if not campaign.is_complete():  # Ray Tune caught the interrupt and returned
        raise KeyboardInterrupt
    return _finish(context, campaign, results, validated)


def _finish(
    context: StepContext, campaign: Campaign, results: Results, validated: int
) -> StepOutcome:
    winner = campaign.best()
    if winner is None:
        raise TrainingError(f"no trial was finished: {campaign.counts()}")
    output = context.output
    _place_winner(winner, output)
    write_report(output / "report.html", context.key, results)
    for name in ("trials.parquet", "report.html"):
        context.run.log_artifact(output / name)
    for trial in campaign.trials:  # no trial continues after this
        shutil.rmtree(trial.folder / RUN_NAME, ignore_errors=True)
    shutil.rmtree(output / RAY_FOLDER, ignore_errors=True)
    trained = outcome_of(read_summary(output))
    return StepOutcome(
        rows_in=trained.rows_in,
        rows_out=trained.rows_out,
        rejected=trained.rejected,
        metrics=dict(trained.metrics) | results.figures(),
        facts={
            **trained.facts,
            "winner": winner.name,
            "overrides": dict(winner.overrides),
            "trials": {state: n for state, n in results.states.items() if n},
            "validation_cases": validated,
            "recommendation": results.recommendation,
        },
    )


def _prepare(context: StepContext, trial: Trial) -> None:
    """Write a trial's settings into its folder, before it starts or continues."""
    trial_config = with_overrides(context.config, trial.overrides)
    pairs = context.inputs[pairs_input(context.config, trial.choices)]
    cases = context.inputs["cases"]
    lineage = {
        "cases": cases.name,
        "prefer": pairs.name,
        "campaign": context.output.name,
        "trial": trial.name,
    }
    candidates = context.inputs.get("candidates")
    if candidates is not None:
        lineage["candidates"] = candidates.name
    settings = worker_settings(trial_config, pairs, cases, trial.folder, lineage, candidates)
    settings["validation"] = {
        "cases": str(context.output / CASES),
        "shares": rung_shares(context.config.tune),
    }
    write_json(trial.folder / SETTINGS, settings)


def _place_winner(winner: Trial, output: Path) -> None:
    """Copy the files that a train step would have written; `student.json` last, as there."""
    campaign_files = (TRIAL, SETTINGS, ".", "track")
    names = [file.name for file in winner.folder.iterdir() if file.is_file()]
    names = [name for name in names if not name.startswith(campaign_files)]
    for name in sorted(names, key=lambda name: name == "student.json"):
        shutil.copyfile(winner.folder / name, output / name)


def _nodes() -> list[dict[str, float]]:
    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def _refuse_split_weights(config: Config) -> None:
    setting = config.training.deepspeed
    if setting != OFF and deepspeed_config(setting)["zero_optimization"]["stage"] == 3:
        raise ConfigError(
            f"expected training.deepspeed off, zero1 or zero2, found {setting}: it splits the "
            "weights among workers, so trials cannot be ranked while they train"
        )
