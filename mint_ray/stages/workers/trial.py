"""Process that drives one trial of a campaign; see `mint_ray.stages.tune.ray_tune`."""

from pathlib import Path
from typing import Any

from ray.tune.integration.ray_train import TuneReportCallback

from mint_ray.common.files import read_json, write_json
from mint_ray.config.config import Config
from mint_ray.errors import MintError
from mint_ray.runtime.ray_train import fit
from mint_ray.stages.workers.training import train_worker
from mint_ray.tuning.trials import FAILURE

SETTINGS = "settings.json"
"""File in a trial's folder with the settings for its workers."""


def run_trial(ray_config: dict[str, Any]) -> None:
    """Run one trial as a Ray Train run, continued where it was cut off.

    This is Ray Tune's function trainable. A stopped trial returns too, without a student. A
    MintError is written to the trial's folder: it would come again, so Ray Tune must not retry.
    """
    folder = Path(ray_config["folder"])
    settings = read_json(folder / SETTINGS)
    resources = Config.model_validate(settings["config"]).resources
    reports = TuneReportCallback()
    try:
        fit(train_worker, settings, folder, resources.train_workers, resources, [reports])
    except MintError as error:
        write_json(folder / FAILURE, {"kind": type(error).__name__, "message": str(error)})
