"""Trials of a campaign on Ray Tune, each with a Ray Train run inside.

Ray Tune places, restarts and stops trials. `Campaign` decides what to try and which trial to stop.
Its state is in the trials' folders: Ray's own snapshot of an experiment lacks the memory of its
scheduler, so a restored ASHA would start to judge anew.
"""

import os
import shutil
from typing import Any

from ray import tune
from ray.tune import FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from mint_ray.runtime.interrupts import keeping_handler
from mint_ray.stages.workers.trial import run_trial
from mint_ray.tuning.campaign import Campaign

DRIVER = {"CPU": 0, "node:__internal_head__": 0.001}
"""Resources of the process that drives a trial. It only waits, so it takes no CPU, for which a
worker might wait for ever. It stays on the head node: a lost node costs only its workers."""
RAY_FOLDER = "ray_tune"
"""Folder of Ray Tune in the step's folder; nothing in it is needed again."""

_QUIET = {
    # Ray's loggers would write what the trials' folders hold already.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Ray's snapshots are never restored; see above.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints even with verbose=0
    # Choose one trial at a time, when there is room for it: its choice then knows all earlier ones.
    "TUNE_MAX_PENDING_TRIALS_PG": "1",
}


def run_trials(campaign: Campaign, slots: int, retries: int) -> None:
    """Run the remaining trials of a campaign; return early if it is interrupted.

    Args:
        campaign: the campaign, which chooses and stops trials.
        slots: largest number of trials at a time.
        retries: restarts of a trial whose driving process was lost with its node.
    """
    os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
    folder = campaign.output / RAY_FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    tuner = Tuner(
        tune.with_resources(run_trial, DRIVER),
        tune_config=TuneConfig(
            search_alg=CampaignSearch(campaign),
            scheduler=CampaignScheduler(campaign),
            num_samples=campaign.total,
            max_concurrent_trials=slots,
            trial_dirname_creator=_trial_folder,
            reuse_actors=False,
        ),
        run_config=RunConfig(
            name=RAY_FOLDER,
            storage_path=str(campaign.output),
            failure_config=FailureConfig(max_failures=retries),
            verbose=0,
        ),
    )
    with keeping_handler():
        tuner.fit()


def _trial_folder(trial: Any) -> str:
    return f"trial-{trial.config['number']:03d}-{trial.trial_id}"


class CampaignSearch(Searcher):  # type: ignore[misc]
    """Ray Tune searcher that lets the campaign choose the next trial."""

    def __init__(self, campaign: Campaign) -> None:
        super().__init__()
        self._campaign = campaign
        self._numbers: dict[str, int] = {}

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """Return True: the campaign knows its space and its metric."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """Return the next trial's number and folder, or `Searcher.FINISHED`."""
        trial = self._campaign.next_trial()
        if trial is None:
            return str(Searcher.FINISHED)
        self._numbers[trial_id] = trial.number
        return {"number": trial.number, "folder": str(trial.folder)}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Tell the campaign of a trial whose process was lost; the scheduler reports the others."""
        if error:
            lost = "its process was lost more often than resources.max_failures"
            self._campaign.on_trial_end(self._numbers[trial_id], error=lost)

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the state is in the trials' folders."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing, since nothing was saved."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a plain object: Ray Tune saves its searcher, but is never restored."""
        return (object, ())


class CampaignScheduler(FIFOScheduler):  # type: ignore[misc]
    """Ray Tune scheduler that lets the campaign decide which trials continue."""

    def __init__(self, campaign: Campaign) -> None:
        super().__init__()
        self._campaign = campaign

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Let the campaign decide after a checkpoint.

        A trial that must stop reads this in its folder, and returns by itself.
        """
        self._campaign.on_report(trial.config["number"])
        ends = bool(self._campaign.gave_up)
        return str(TrialScheduler.STOP if ends else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Tell the campaign that a trial has returned."""
        self._campaign.on_trial_end(trial.config["number"])

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a plain object; see `CampaignSearch`."""
        return (object, ())
