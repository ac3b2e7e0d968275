"""What a killed session of a campaign did last is recorded by the next."""

from pathlib import Path
from typing import Any

import pytest

from mint_ray.common.files import read_json, write_json
from mint_ray.pipeline.progress import Progress
from mint_ray.stages.tune.watch import SEEN, watching
from mint_ray.tracking import Tracker
from mint_ray.tuning.campaign import Campaign
from tests.tracking.conftest import runs_of
from tests.tuning.campaigns import STEPS, config, finish, reach

KEY = "tune-1a2b3c4d"


def test_a_campaign_that_was_killed_after_its_last_trial(
    tracker: Tracker, client: Any, tmp_path: Path
) -> None:
    output = tmp_path / KEY
    output.mkdir()

    def session(campaign: Campaign, work: Any = lambda campaign: None) -> None:
        progress = Progress()
        with (
            progress.stage("tune", "a campaign") as task,
            tracker.run("tune", KEY, output) as tracked,
            watching(campaign, tracked, task),
        ):
            work(campaign)

    def cut_off(campaign: Campaign) -> None:
        first, second = campaign.next_trial(), campaign.next_trial()
        assert first is not None
        assert second is not None
        reach(first, 3)
        reach(second, 3)

    session(Campaign(config(trials=2), output, lambda line: None), cut_off)
    for trial in Campaign(config(trials=2), output, lambda line: None).trials:
        seen = trial.folder / SEEN
        write_json(seen, read_json(seen) | {"step": 1.0})  # it died before it remembered step 3
        reach(trial, STEPS)  # nobody watches any more
        finish(trial)
    last = Campaign(config(trials=2), output, lambda line: None)
    assert last.is_complete()
    session(last)
    children = [run for run in runs_of(client) if "trial" in run.data.tags]
    assert [run.info.status for run in children] == ["FINISHED", "FINISHED"]
    for run_of_trial in children:
        assert run_of_trial.data.tags["state"] == "finished"
        history = client.get_metric_history(run_of_trial.info.run_id, "loss")
        assert sorted(point.step for point in history) == list(range(1, STEPS + 1))
        assert run_of_trial.data.metrics["trial/mrr"] == pytest.approx(
            last.trials[int(run_of_trial.data.tags["trial"])].rungs()[-1]["validation/mrr"]
        )
