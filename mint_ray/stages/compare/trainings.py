"""Records of the trainings behind the compared systems: cost, and what was watched on the way."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mint_ray.errors import DataError
from mint_ray.evaluation.comparison import SystemCost
from mint_ray.evaluation.learning_rates import RateChoice, read_choice
from mint_ray.evaluation.metrics.validation import WATCHED
from mint_ray.pipeline.extra_inputs import STUDENT
from mint_ray.pipeline.manifest import Manifest, read_manifest
from mint_ray.runtime.metrics_stream import read_metrics_lines

_TRAINED = (STUDENT, "fused")
"""Words of `evaluation.systems` that answer with the trained student."""
_UNTRAINED = ("base", "larger")
"""Words for language models that cost no training here."""

Watched = list[dict[str, float]]
"""Values watched along a training: `step`, `tokens` and the metrics of `WATCHED`, by step."""


def manifest_of(folder: Path) -> Manifest:
    """Return the manifest of a finished step.

    Raises:
        DataError: there is none.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise DataError(f"{folder} has no manifest; run the comparison again")
    return manifest


def costs_of(folder: Path, names: Mapping[str, str]) -> dict[str, SystemCost]:
    """Return the cost of each system that answers with a language model, or is asked.

    Args:
        folder: of the step with the answers.
        names: shown name of each of its systems, by word of `evaluation.systems` or by protocol.
    """
    evaluated = manifest_of(folder)
    alone = evaluated.wall_seconds if len(names) == 1 else None
    untrained = SystemCost(steps=0, tokens=0.0, training_seconds=0.0, ranking_seconds=alone)
    if evaluated.stage == "reason":
        return dict.fromkeys(names.values(), untrained)
    trainings = [manifest_of(training) for training in trainings_of(folder)]
    cost = SystemCost(
        steps=sum(training.facts["steps"] for training in trainings),
        tokens=_total(trainings, "tokens_seen"),
        training_seconds=_total(trainings, "training_seconds"),
        ranking_seconds=alone,
    )
    costs = dict.fromkeys(_TRAINED, cost) | dict.fromkeys(_UNTRAINED, untrained)
    return {name: costs[word] for word, name in names.items() if word in costs}


def trainings_of(folder: Path) -> list[Path]:
    """Return the training behind an evaluation, and those that it continues from, last first.

    Args:
        folder: of a finished `evaluate` step.
    """
    chain = [folder.parent / manifest_of(folder).inputs["train"]]
    while start := manifest_of(chain[-1]).config["student"]["init_adapter"]:
        manifest = read_manifest(Path(start))
        if manifest is None or manifest.stage != "train":
            break  # a student of another program, or the winner of a campaign
        chain.append(Path(start))
    return chain


def watched_of(folder: Path) -> Watched:
    """Return what was watched along the training behind an evaluation, the first step first.

    Tokens and steps include those of the trainings that it continues from. It is empty where
    `training.watch` is off.

    Args:
        folder: of a finished `evaluate` step.
    """
    return list(_watched(reversed(trainings_of(folder))))


def rates_of(folder: Path) -> RateChoice | None:
    """Return how the learning rate of the training behind an evaluation was chosen.

    Args:
        folder: of a finished `evaluate` step.

    Returns:
        None where it was not chosen but set.
    """
    training = trainings_of(folder)[0]
    rates = manifest_of(training).inputs.get("rates")
    return None if rates is None else read_choice(training.parent / rates)


def _watched(trainings: Iterator[Path]) -> Iterator[dict[str, float]]:
    steps = tokens = 0.0
    for folder in trainings:
        rows = sorted(read_metrics_lines(folder), key=lambda row: row["step"])
        for row in rows:
            named = {name: row.get(f"validation/{name}") for name in WATCHED}
            values = {name: value for name, value in named.items() if value is not None}
            if len(values) == len(WATCHED):
                at = {"step": steps + row["step"], "tokens": tokens + row["tokens_seen"]}
                yield at | values
        if rows:
            # Trainings of an older release did not count their tokens.
            steps, tokens = steps + rows[-1]["step"], tokens + rows[-1].get("tokens_seen", 0.0)


def _total(trainings: Sequence[Manifest], metric: str) -> float | None:
    """Return the sum of a final metric; None if a training does not have it."""
    values = [training.metrics.get(f"final.{metric}") for training in trainings]
    return None if None in values else sum(value for value in values if value is not None)
