"""Steps of the pipeline, with the context that a stage gets and the outcome that it returns."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mint_ray.common.imports import collection_paused
from mint_ray.config.config import Config
from mint_ray.config.teacher import UNHASHED_OF_SERVER
from mint_ray.pipeline.extra_inputs import (
    ExtraInput,
    answers_of_systems,
    pairs_of_trials,
    required_answers,
    required_trials,
    trainings_of_members,
    trainings_of_trials,
)

if TYPE_CHECKING:  # workers import this module, and need neither
    from mint_ray.pipeline.progress import ProgressHandle
    from mint_ray.tracking.tracker import Run


def _no_inputs(config: Config) -> Mapping[str, ExtraInput]:
    """Return no extra inputs."""
    return {}


def _read_by_training(config: Config) -> tuple[str, ...]:
    """Return the names of the steps that a training reads besides cases and pairs."""
    rates = ("rates",) if config.training.trials.learning_rates else ()
    return (*_read_by_trials(config), *rates)


def _read_by_trials(config: Config) -> tuple[str, ...]:
    """Return the names of the steps that a campaign's trials read besides cases and pairs."""
    training = config.training
    of_beam = training.candidates == "beam" and training.objective in ("cft", "rcft")
    return ("candidates",) if of_beam else ()


def _version_of_prompts(config: Config) -> int:
    if config.task == "own":
        return 4  # the prompt no longer calls the text a clinical note
    # The instruction stands before the note; prompts with an image are the same.
    return 0 if config.cases.source in ("tiles", "images", "pannuke") else 3


def _version_of_evaluation(config: Config) -> int:
    systems = config.evaluation.systems
    if "fused" in systems:
        return 8  # notes without findings are the student's, at the temperature of its calibration
    if "stacked" in systems:
        return 7  # it ranks by more evidence
    # Lists in free answers are read in every form.
    return 6 if config.evaluation.generate_cases else 0


@dataclass(frozen=True)
class Step:
    """One stage of the graph."""

    name: str
    version: int
    """Number to raise when the same settings would now give another result."""
    inputs: tuple[str, ...]
    """Steps that this step reads with every config; see `inputs_of`."""
    settings: tuple[str, ...]
    """Sections or fields of the config that change the result, as dotted names."""
    files: tuple[str, ...] = ()
    """Config fields that hold a path whose content counts."""
    unhashed: tuple[str, ...] = ()
    """Fields below `settings` that change no result, as dotted names."""
    about: str = ""
    on_request: bool = False
    """Whether `mint run` leaves this step out."""
    extra_inputs: Callable[[Config], Mapping[str, ExtraInput]] = _no_inputs
    """Function that returns the outputs of other configs that this step reads too, by the name of
    the input. It raises ConfigError if the step cannot run with a config."""
    hashed_inputs: Callable[[Config], Mapping[str, ExtraInput]] = _no_inputs
    """Function that returns those extra inputs whose keys are hashed, with any config. Those of
    `tune` follow from its settings."""
    more_inputs: Callable[[Config], tuple[str, ...]] = lambda config: ()
    """Function that returns the names of further steps that this step reads with a config."""

    version_where: Callable[[Config], int] = lambda config: 0
    """Function that returns a higher version for configs of which the result changed. Finished
    steps of the others keep theirs."""

    def version_for(self, config: Config) -> int:
        """Return the version that counts with a config."""
        return max(self.version, self.version_where(config))

    def inputs_of(self, config: Config) -> tuple[str, ...]:
        """Return the names of the steps that this step reads with a config."""
        return (*self.inputs, *self.more_inputs(config))

    def load(self) -> "Callable[[StepContext], StepOutcome]":
        """Import the stage and return its `run`; late, since Ray and torch are slow to import."""
        with collection_paused():
            run: Callable[[StepContext], StepOutcome] = importlib.import_module(
                f"mint_ray.stages.{self.name}"
            ).run
        return run


STEPS: tuple[Step, ...] = (
    Step(
        "cases",
        3,
        (),
        ("seed", "task", "cases", "knowledge"),
        files=(
            "cases.answers",
            "cases.path",
            "knowledge.exclude_publications",
            "knowledge.more_names",
            "knowledge.release",
        ),
        about="read or simulate cases, write notes, draw images, split by whole groups",
        # Splits are drawn; those of PanNuke are a setting.
        version_where=lambda config: 0 if config.cases.source == "pannuke" else 5,
    ),
    Step(
        "teach",
        2,
        ("cases",),
        ("seed", "teacher"),
        files=("teacher.gestaltmml.labels", "teacher.scores.path"),
        unhashed=tuple(f"teacher.endpoint.{name}" for name in UNHASHED_OF_SERVER),
        about="fit the multimodal teacher",
        # It ranks by more evidence; folders of before are refused.
        version_where=lambda config: 3 if config.teacher.name == "stacked" else 0,
    ),
    Step(
        "prefer",
        2,
        ("cases", "teach"),
        ("seed", "preferences"),
        about="rank every label for every case, write preference pairs",
        version_where=_version_of_prompts,
    ),
    Step(
        "candidates",
        1,
        ("cases", "prefer"),
        ("seed", "student"),
        files=("student.init_adapter",),
        about="rank training cases with the student that a calibration starts from",
        on_request=True,
    ),
    Step(
        "rates",
        1,
        ("cases",),
        ("seed", "training.trials"),
        about="rank validation cases with the student of every trial, choose the learning rate",
        on_request=True,
        extra_inputs=required_trials,
        hashed_inputs=trainings_of_trials,
    ),
    Step(
        "train",
        2,
        ("cases", "prefer"),
        ("seed", "student", "training"),
        files=("student.init_adapter",),
        about="align the student on the pairs",
        extra_inputs=trainings_of_members,
        more_inputs=_read_by_training,
    ),
    Step(
        "evaluate",
        5,
        ("cases", "teach", "train"),
        ("seed", "evaluation"),
        about="rank held-out cases with every system, measure, report",
        version_where=_version_of_evaluation,
    ),
    Step(
        "tune",
        3,
        ("cases", "prefer"),
        (
            "seed",
            "student",
            "training",
            "evaluation.search",
            "evaluation.beam_width",
            "evaluation.calibration_bins",
            "evaluation.bootstrap_samples",
            "evaluation.max_cases_per_group",
            # Not hashed: concurrency, time budget and allowed failures, which a restart may change.
            "tune.space",
            "tune.algorithm",
            "tune.startup_trials",
            "tune.scheduler",
            "tune.trials",
            "tune.metric",
            "tune.first_rung",
            "tune.reduction_factor",
            "tune.median_trials",
            "tune.validation_cases",
            "tune.scale_alpha",
            "tune.search_seed",
        ),
        files=("student.init_adapter",),
        # Which trials do not read.
        unhashed=("training.trials", "training.watch", "training.members"),
        about="search settings of the training, keep the best student",
        on_request=True,
        extra_inputs=pairs_of_trials,
        more_inputs=_read_by_trials,
    ),
    Step(
        "calibrate",
        6,
        ("cases",),
        (
            "seed",
            "promotion.source",
            "promotion.ranking",
            "promotion.coverage",
            "evaluation.search",
            "evaluation.beam_width",
            "evaluation.top_k",
            "evaluation.max_cases",
            "evaluation.max_cases_per_group",
            "evaluation.calibration_bins",
            "evaluation.bootstrap_samples",
            "evaluation.fused_look_ups",
        ),
        about="fit a temperature and conformal sets on validation groups, measure on test groups",
        version_where=lambda config: 7 if config.promotion.ranking == "fused" else 0,
        on_request=True,
        more_inputs=lambda config: (config.promotion.source,),
    ),
    Step(
        "compare",
        1,
        ("cases",),
        (
            "seed",
            "compare",
            "evaluation.top_k",
            "evaluation.max_cases",
            "evaluation.max_cases_per_group",
            "evaluation.generate_cases",
            "evaluation.calibration_bins",
            "evaluation.bootstrap_samples",
        ),
        about="join the rankings of all compared systems, measure their differences, report",
        on_request=True,
        extra_inputs=required_answers,
        hashed_inputs=answers_of_systems,
    ),
    Step(
        "index",
        1,
        ("cases",),
        (
            "retrieval.own_documents",
            "retrieval.chunk_words",
            "retrieval.overlap_words",
            "retrieval.meaning",
        ),
        files=("retrieval.own_documents",),
        about="write documents of all answers, index their words and their meaning",
        on_request=True,
    ),
    Step(
        "reason",
        1,
        ("cases", "index"),
        (
            "seed",
            "reasoning",
            "retrieval.method",
            "retrieval.documents",
            "retrieval.rerank_of",
            "evaluation.top_k",
            "evaluation.max_cases",
            "evaluation.max_cases_per_group",
            "evaluation.calibration_bins",
            "evaluation.bootstrap_samples",
        ),
        unhashed=tuple(f"reasoning.server.{name}" for name in UNHASHED_OF_SERVER),
        about="ask a chat model about the tested cases, with and without documents, measure",
        on_request=True,
    ),
)


@dataclass(frozen=True)
class StepContext:
    """Input of a stage: it reads `inputs`, writes to `output`, and knows no other folders."""

    config: Config
    key: str
    inputs: Mapping[str, Path]
    output: Path
    run: "Run"
    progress: "ProgressHandle"


@dataclass(frozen=True)
class StepOutcome:
    """Result of a stage: counts of rows, metrics to track, and facts for the manifest."""

    rows_in: int
    rows_out: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
