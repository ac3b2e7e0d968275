"""Stage `rates`: the learning rate of a training, chosen among short trainings.

The students of all trials rank the same validation cases. Writes `rates.json`,
`predictions.parquet` and `metrics.json`, in which a system is called by its rate.
"""

from dataclasses import asdict

import pyarrow.parquet as pq

from mint_ray.config.evaluation import EvaluationConfig
from mint_ray.evaluation.case_sample import choose_cases, sampled_from
from mint_ray.evaluation.learning_rates import FILE, choose_rate, write_choice
from mint_ray.evaluation.measurement import index_tested
from mint_ray.evaluation.metrics.compute import evaluate
from mint_ray.evaluation.outcomes import collect_outcomes
from mint_ray.evaluation.predictions import write_predictions
from mint_ray.evaluation.results import MACRO, write_metrics
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.extra_inputs import trial_input
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.runtime.inference import reporting
from mint_ray.runtime.session import begin_session
from mint_ray.stages.workers.scoring import rank_cases


def run(context: StepContext) -> StepOutcome:
    """Let the student of every trial rank the validation cases, measure them, choose the rate."""
    # Cases are drawn and ranked by the defaults: the step does not depend on `evaluation`.
    config = context.config.model_copy(update={"evaluation": EvaluationConfig()})
    output, cases, trials = context.output, context.inputs["cases"], config.training.trials
    columns = ["case_id", "group_id", "label_id", "label_name", "split", "seen"]
    chosen = choose_cases(
        pq.read_table(cases / "cases.parquet", columns=columns),
        trials.cases,
        config.seed,
        split="validation",
        max_per_group=config.evaluation.group_limit(config.task),
    )
    begin_session(config.resources, context.progress.say)
    wanted = frozenset(chosen["case_id"].to_pylist())
    systems = {rate: f"{rate:g}" for rate in trials.learning_rates}
    students = {name: context.inputs[trial_input(rate)] for rate, name in systems.items()}
    folder, total = output / "ranked", len(wanted) * len(systems)
    with reporting(folder, lambda rows: context.progress.update(rows, total, "rankings")):
        predictions = rank_cases(config, students, cases, wanted, folder)
    write_predictions(output / "predictions.parquet", predictions)

    indexed = index_tested(chosen, Catalogue.read(cases / "catalogue.parquet"))
    settings, names = config.evaluation, list(systems.values())
    outcomes = collect_outcomes(predictions, indexed, settings.top_k, systems=names)
    metrics = evaluate(
        outcomes,
        indexed,
        bins=settings.calibration_bins,
        samples=settings.bootstrap_samples,
        seed=config.seed,
    )
    write_metrics(output / "metrics.json", metrics)
    choice = choose_rate(metrics, systems, f"{trials.metric}{MACRO}", len(wanted))
    write_choice(output, choice)
    context.progress.say(f"[Rates] {choice.chosen:g} has the best {choice.metric}")
    for name in ("metrics.json", FILE):
        context.run.log_artifact(output / name)
    return StepOutcome(
        rows_in=len(wanted),
        rows_out=len(wanted),
        metrics={
            f"{trial.learning_rate:g}.{choice.metric}": trial.value["value"]
            for trial in choice.tried
            if trial.value["value"] is not None
        },
        facts={
            "learning_rate": choice.chosen,
            "validated": asdict(sampled_from(config, "validation")),
        },
    )
