"""The trials of a campaign on Ray Tune: a Ray Train run within each, decisions by the campaign.

Ray Tune places, restarts and stops trials. What to try and whom to stop it asks of `Campaign`,
whose state is in the trials' folders: Ray's own snapshot of an experiment leaves its scheduler's
memory out, so a restored ASHA would start to judge anew.
"""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune
from ray.tune import FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.integration.ray_train import TuneReportCallback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from mint_ray.common.files import read_json, write_json
from mint_ray.config.config import Config
from mint_ray.errors import MintError
from mint_ray.runtime.ray_train import fit
from mint_ray.tuning.trials import FAILURE

if TYPE_CHECKING:  # what drives a trial imports this module, and needs little of it
    from mint_ray.tuning.campaign import Campaign

SETTINGS = "settings.json"
"""A trial's settings for its workers, in its folder."""
DRIVER = {"CPU": 0, "node:__internal_head__": 0.001}
"""What drives a trial only waits: it takes no CPU, which a worker might wait for in vain, and stays
on the head node, so that a lost node costs its workers alone."""
RAY_FOLDER = "ray_tune"
"""Ray Tune's own folder in the step's; nothing in it is needed again."""

_QUIET = {
    # The only loggers would write what the trials' folders hold already.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Its snapshots are never restored; see above.
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # which prints even where nothing is asked for
    # One trial is chosen at a time, when there is room for it: it then knows all that came before.
    "TUNE_MAX_PENDING_TRIALS_PG": "1",
}


def run_trials(campaign: "Campaign", slots: int, retries: int) -> None:
    """Run what is left of a campaign; returns early where it was interrupted.

    Args:
        slots: most trials at a time.
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
    tuner.fit()


def run_trial(ray_config: dict[str, Any]) -> None:
    """Ray Tune's function trainable: one Ray Train run, continued where it was cut off.

    A trial that is stopped returns too, without a student. An error that is meant for the user is
    left in the trial's folder: it would come again, so Ray Tune is not to try once more.
    """
    folder = Path(ray_config["folder"])
    settings = read_json(folder / SETTINGS)
    resources = Config.model_validate(settings["config"]).resources
    reports = TuneReportCallback()
    try:
        fit(_train, settings, folder, resources.train_workers, resources, [reports])
    except MintError as error:
        write_json(folder / FAILURE, {"kind": type(error).__name__, "message": str(error)})


def _train(settings: dict[str, Any]) -> None:
    """The worker, whose modules take seconds to import where nobody trains."""
    from mint_ray.stages.workers.training import train_worker

    train_worker(settings)


def _trial_folder(trial: Any) -> str:
    return f"trial-{trial.config['number']:03d}-{trial.trial_id}"


class CampaignSearch(Searcher):  # type: ignore[misc]
    """Asks the campaign what to start."""

    def __init__(self, campaign: "Campaign") -> None:
        super().__init__()
        self._campaign = campaign
        self._numbers: dict[str, int] = {}

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """The campaign knows its space and its metric."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next trial's number and folder, or that there is none."""
        trial = self._campaign.next_trial()
        if trial is None:
            return str(Searcher.FINISHED)
        self._numbers[trial_id] = trial.number
        return {"number": trial.number, "folder": str(trial.folder)}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """A trial that is over; the scheduler tells the campaign of those that returned."""
        if error:
            lost = "its process was lost more often than resources.max_failures"
            self._campaign.on_trial_end(self._numbers[trial_id], error=lost)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Ray Tune pickles what it was given, to restore it some day."""
        return (object, ())


class CampaignScheduler(FIFOScheduler):  # type: ignore[misc]
    """Asks the campaign who goes on."""

    def __init__(self, campaign: "Campaign") -> None:
        super().__init__()
        self._campaign = campaign

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """After a checkpoint; a trial that is to stop reads so in its folder, and returns."""
        self._campaign.on_report(trial.config["number"])
        ends = bool(self._campaign.gave_up)
        return str(TrialScheduler.STOP if ends else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial has returned."""
        self._campaign.on_trial_end(trial.config["number"])

    def __reduce__(self) -> tuple[Any, ...]:
        """See `CampaignSearch`."""
        return (object, ())
