"""Choice of a learning rate by the rankings of validation cases, and the file that records it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mint_ray.common.files import read_json, write_json
from mint_ray.errors import DataError
from mint_ray.evaluation.results import METRICS, Metrics, MetricValue

FILE = "rates.json"
"""File in the folder of a `rates` step."""


@dataclass(frozen=True)
class Trial:
    """A learning rate, and the metric of its student on the validation cases."""

    learning_rate: float
    value: MetricValue


@dataclass(frozen=True)
class RateChoice:
    """Learning rate that was chosen among those that were tried.

    `metric` is a name of `METRICS`, and `cases` the number of validation cases.
    """

    chosen: float
    metric: str
    cases: int
    tried: tuple[Trial, ...]


def choose_rate(
    metrics: Metrics, systems: Mapping[float, str], metric: str, cases: int
) -> RateChoice:
    """Choose the rate whose student is best in a metric; of equal ones the lowest.

    Args:
        metrics: of the students on the validation cases.
        systems: name of each rate's student in `metrics`.
        metric: a name of `METRICS`.
        cases: number of validation cases.

    Raises:
        DataError: no student has a value of the metric.
    """
    absent: MetricValue = {"value": None, "low": None, "high": None, "n": 0}
    tried = [
        Trial(rate, metrics[systems[rate]]["all"].get(metric, absent)) for rate in sorted(systems)
    ]
    sign = 1.0 if METRICS[metric].higher_is_better else -1.0
    measured = [trial for trial in tried if trial.value["value"] is not None]
    if not measured:
        raise DataError(
            f"training.trials.metric: expected a value of {metric} for a trial's student, found "
            f"none, since none of {cases} validation cases was answered with a probability; see "
            "rejected.parquet of the step `cases`"
        )
    best = max(measured, key=lambda trial: sign * (trial.value["value"] or 0.0))
    return RateChoice(best.learning_rate, metric, cases, tuple(tried))


def write_choice(folder: Path, choice: RateChoice) -> None:
    """Write the choice into the folder of its step; it appears whole or not at all."""
    write_json(folder / FILE, asdict(choice))


def read_choice(folder: Path) -> RateChoice:
    """Read the choice of a finished `rates` step.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        tree = read_json(folder / FILE)
        return RateChoice(**tree | {"tried": tuple(Trial(**trial) for trial in tree["tried"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{folder / FILE}: expected a chosen learning rate, found none that can be read "
            f"({type(error).__name__}); run `mint rates CONFIG --force`"
        ) from error
