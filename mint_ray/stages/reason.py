"""Stage `reason`: answers of a chat model to the tested cases, with and without documents.

Ray Data streams the cases through actors that hold the model and the documents. Each case gives one
row with all that was said and shown, also a case whose model fails; what a case answers does not
depend on the cases before it, so that an interrupted run says the same when it continues. Writes
`answers.parquet`, `predictions.parquet` and `metrics.json`.
"""

import shutil
import time
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.config.resources import ResourcesConfig
from mint_ray.errors import ConfigError
from mint_ray.evaluation.answers import Answers, SystemAnswers
from mint_ray.evaluation.case_sample import read_tested
from mint_ray.evaluation.measurement import measure_answers
from mint_ray.evaluation.predictions import write_predictions
from mint_ray.evaluation.results import write_metrics
from mint_ray.evaluation.systems import SystemRun
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.reasoning.answering import ANSWER_SCHEMA, COLUMNS, record_of
from mint_ray.reasoning.grounding import names_for
from mint_ray.reasoning.records import predictions
from mint_ray.runtime.inference import CaseInference, infer
from mint_ray.runtime.session import begin_session
from mint_ray.stages.workers.reasoners import Reasoner, batch_size
from mint_ray.tasks.task import TASKS

NO_REPLY = "no_reply"
"""Problem of a case that is asked about once more at the end."""


def run(context: StepContext) -> StepOutcome:
    """Ask about the tested cases, read the lists in the answers, measure them."""
    config, cases, output = context.config, context.inputs["cases"], context.output
    if config.task == "tissue":
        raise ConfigError("task=tissue: expected a task of notes, which are asked about")
    _, tested = read_tested(cases, config)
    begin_session(config.resources, context.progress.say)
    answers = _ask(context, frozenset(tested["case_id"].to_pylist()))
    pq.write_table(answers, output / "answers.parquet")
    catalogue, system = Catalogue.read(cases / "catalogue.parquet"), config.reasoning.protocol
    records = [record_of(row) for row in answers.to_pylist()]
    listed = predictions(records, names_for(config.task, catalogue))
    write_predictions(output / "predictions.parquet", listed)
    shortened = sum(record.shortened for record in records)
    measurement = measure_answers(
        Answers({system: SystemAnswers({SystemRun(system): listed}, shortened=shortened)}, system),
        tested,
        catalogue,
        settings=config.evaluation,
        seed=config.seed,
        task=TASKS[config.task],
    )
    write_metrics(output / "metrics.json", measurement.metrics)
    problems = Counter(record.problem for record in records if record.problem)
    known = sum(label is not None for labels in answers["labels"].to_pylist() for label in labels)
    context.progress.say(
        f"{len(records)} cases, {listed.num_rows} names, of which {known} are labels of the "
        f"catalogue; without an answer: {dict(sorted(problems.items())) or 'none'}; "
        f"{shortened} notes cut"
    )
    context.run.log_artifact(output / "metrics.json")  # never the answers, which hold notes
    shutil.rmtree(output / "asked")
    return StepOutcome(
        rows_in=tested.num_rows,
        rows_out=answers.num_rows,
        facts={
            "system": system,
            "chat": _model_of(context),
            "problems": dict(problems),
            "names": listed.num_rows,
            "names_of_labels": known,
            "shortened": shortened,
        },
    )


def _ask(context: StepContext, case_ids: frozenset[str]) -> pa.Table:
    """Return one row of `ANSWER_SCHEMA` for each case; cases without a reply are asked twice."""
    config, cases = context.config, context.inputs["cases"]
    arguments = {
        "config": config.model_dump(mode="json"),
        "catalogue": str(cases / "catalogue.parquet"),
        "index": str(context.inputs["index"] / "index"),
        "replies": str(context.output / "replies.jsonl"),
    }
    columns = ("case_id", *COLUMNS)
    job = CaseInference(Reasoner, arguments, columns, ANSWER_SCHEMA, batch_size(config))
    source, work, resources = cases / "cases.parquet", context.output / "asked", _resources(context)
    started = time.monotonic()
    answers = infer(job, source, work / "first", resources, case_ids)
    lost = pc.fill_null(pc.equal(answers["problem"], NO_REPLY), False)
    if pc.any(lost).as_py():
        again = frozenset(answers.filter(lost)["case_id"].to_pylist())
        context.progress.say(f"{len(again)} cases got no reply and are asked about once more")
        second = infer(job, source, work / "second", resources, again)
        answers = pa.concat_tables([answers.filter(pc.invert(lost)), second]).sort_by("case_id")
    context.progress.say(f"{len(case_ids)} cases in {time.monotonic() - started:.0f} s")
    return answers


def _resources(context: StepContext) -> ResourcesConfig:
    """Return the resources of the actors: one asks a server, since it keeps the file of replies."""
    config = context.config
    is_server = config.reasoning.chat == "server"
    return config.resources.model_copy(update={"actors": 1}) if is_server else config.resources


def _model_of(context: StepContext) -> str:
    settings = context.config.reasoning
    if settings.protocol == "retriever":
        return "none"
    return str(settings.server.model) if settings.chat == "server" else settings.model
