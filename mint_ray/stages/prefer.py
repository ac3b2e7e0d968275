"""Stage `prefer`: teacher rankings of every label for every case, and preference pairs.

Ray Data streams cases through a pool of teacher actors (one GPU each where configured) and
writes one row per case, without its image, so that an interrupted run continues where it stopped.
The rows are then read in the order of their cases, in step with the case table if the pairs have
images, and go to `train.parquet`, `validation.parquet` and `test.parquet`. Memory never holds more
than a few hundred cases.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.cases.schema import REJECTED_SCHEMA, SPLITS
from mint_ray.common.parquet import IMAGE_ROWS, TEXT_ROWS, TableFile
from mint_ray.config.preferences import PreferencesConfig
from mint_ray.config.resources import ResourcesConfig
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.preferences.group_limit import REASON, above_limit
from mint_ray.preferences.schema import scored_schema
from mint_ray.preferences.select import check_catalogue_size
from mint_ray.preferences.writer import PairFiles, images_in_order, pairs_of, pairs_with_images
from mint_ray.reports.cards.preference_card import write_card
from mint_ray.runtime.inference import CaseInference, finished_cases, infer_in_order
from mint_ray.runtime.session import begin_session
from mint_ray.tasks.task import TASKS, Task
from mint_ray.teachers.base import SEEN_COLUMNS, load_manifest
from mint_ray.teachers.cross_fit import fold_folder, read_folds
from mint_ray.teachers.registry import is_recorded

N_FREQUENT = 20
"""Number of rejected names whose share of all rejected places is told."""

CASE_COLUMNS = ("group_id", "split", "label_id", "source", *SEEN_COLUMNS)


class PairBuilder:
    """Ray Data actor that holds the teachers and turns a batch of cases into pairs."""

    def __init__(
        self,
        teacher_folder: str,
        catalogue_file: str,
        settings: Mapping[str, Any],
        key: str,
        task: str,
        resources: Mapping[str, Any],
    ) -> None:
        from mint_ray.preferences.cross_fitted import CrossFittedPairs
        from mint_ray.preferences.render import CasePairs
        from mint_ray.runtime.ray_train import use_resources
        from mint_ray.teachers.base import load_teacher

        use_resources(ResourcesConfig.model_validate(resources))  # before a GPU is looked for
        folder, catalogue = Path(teacher_folder), Catalogue.read(Path(catalogue_file))
        config = PreferencesConfig.model_validate(settings)

        def make(part: int | None) -> CasePairs:
            teacher = load_teacher(folder if part is None else fold_folder(folder, part))
            return CasePairs(teacher, catalogue, config, key, TASKS[task])

        self._pairs = CrossFittedPairs(read_folds(folder), make)
        self._schema = scored_schema(TASKS[task])

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.Table.from_pylist(self._pairs.build(batch), schema=self._schema)


def run(context: StepContext) -> StepOutcome:
    """Score all cases, write the preference dataset, its rejections and its card."""
    config, cases = context.config, context.inputs["cases"]
    catalogue = Catalogue.read(cases / "catalogue.parquet")
    check_catalogue_size(len(catalogue), config.preferences)
    begin_session(context.config.resources, context.progress.say)
    task = TASKS[config.task]
    job = CaseInference(
        actor=PairBuilder,
        arguments={
            "teacher_folder": str(context.inputs["teach"]),
            "catalogue_file": str(cases / "catalogue.parquet"),
            "settings": config.preferences.model_dump(),
            "key": context.key,
            "task": task.name,
            "resources": config.resources.model_dump(mode="json"),
        },
        columns=CASE_COLUMNS,
        schema=scored_schema(task),
        batch_size=config.preferences.batch_size,
    )
    source = cases / "cases.parquet"
    folder, n_cases = context.output / "scored", pq.read_metadata(source).num_rows
    n_missing, started = n_cases - len(finished_cases(folder, job.schema)), time.monotonic()
    scored = infer_in_order(job, source, folder, config.resources)
    rate = n_missing / (time.monotonic() - started)
    context.progress.say(f"teacher scored {n_missing} cases, {rate:.1f} a second")
    left_out = above_limit(source, config.preferences.max_per_group, config.seed)
    written = write_pairs(scored, source, context.output, task, left_out)
    if limited := written.rejected[REASON]:
        context.progress.say(
            f"{limited} training cases gave no pairs: preferences.max_per_group is "
            f"{config.preferences.max_per_group}"
        )
    for split, share in written.shares.items():
        context.progress.say(f"known answer first in {100 * share:.1f} % of {split} cases")
    teacher = load_manifest(context.inputs["teach"])
    n_folds = len(read_folds(context.inputs["teach"]))
    write_card(
        context.output / "README.md",
        config.preferences,
        task,
        pairs=written.pairs,
        rejected=written.rejected,
        teacher=f"{teacher['name']}@{teacher['revision']}",
        labels=len(catalogue),
        key=context.key,
        unanswered=written.unanswered,
        answer_first=written.shares,
        folds=n_folds,
        recorded=is_recorded(config),
        frequent=(N_FREQUENT, written.frequent_share),
    )
    return StepOutcome(
        rows_in=n_cases,
        rows_out=sum(written.pairs.values()),
        rejected=written.rejected,
        metrics={"rows_per_second": rate} if n_missing else {},
        facts={
            "pairs": written.pairs,
            "teacher": teacher["revision"],
            "folds": n_folds,
            "answer_first": written.shares,
            "frequent_rejected": written.frequent_share,
        },
    )


@dataclass(frozen=True)
class WrittenPairs:
    """Counts of a preference dataset.

    Attributes:
        pairs: number of pairs by split.
        rejected: number of cases without pairs, by reason.
        unanswered: number of rejected labels that the teacher did not answer for.
        shares: share of the cases with a known answer that the teacher ranks first, by split.
        frequent_share: share of the rejected places with the `N_FREQUENT` most frequent names.
    """

    pairs: dict[str, int]
    rejected: Counter[str]
    unanswered: int
    shares: dict[str, float]
    frequent_share: float


def write_pairs(
    scored: Iterable[pa.Table],
    cases: Path,
    output: Path,
    task: Task,
    left_out: frozenset[str] = frozenset(),
) -> WrittenPairs:
    """Write one file of pairs per split, and `rejected.parquet`.

    Args:
        scored: rows of `scored_schema`, in the order of the case table.
        cases: the case table, which has the images.
        output: folder of the files.
        task: task of the student.
        left_out: ids of cases that give no pairs, although the teacher scored them.
    """
    rejected, first, known = Counter[str](), Counter[str](), Counter[str]()
    labels = Counter[str]()
    unanswered = 0
    images = images_in_order(cases) if task.input_modality == "image" else None
    with (
        TableFile(output / "rejected.parquet", REJECTED_SCHEMA, TEXT_ROWS) as rejected_file,
        PairFiles(output, task) as files,
    ):
        for part in _in_groups(scored):
            part = _without_pairs_of(part, left_out)
            unusable = part.filter(pc.is_valid(part["reason"])).select(REJECTED_SCHEMA.names)
            rejected_file.add(unusable)
            rejected.update(unusable["reason"].to_pylist())
            unanswered += pc.sum(part["unanswered"]).as_py() or 0
            answered = part.filter(pc.is_valid(part["answer_first"]))
            known.update(answered["split"].to_pylist())
            first.update(answered.filter(answered["answer_first"])["split"].to_pylist())
            pairs = pairs_of(part) if images is None else pairs_with_images(part, images)
            labels.update(pc.list_flatten(pairs["rejected_labels"]).to_pylist())
            files.add(pairs)
    shares: dict[str, float] = {
        split: first[split] / known[split] for split in SPLITS if known[split]
    }
    frequent = sum(n for _, n in labels.most_common(N_FREQUENT)) / max(labels.total(), 1)
    return WrittenPairs(dict(files.rows), rejected, unanswered, shares, frequent)


def _without_pairs_of(scored: pa.Table, left_out: frozenset[str]) -> pa.Table:
    """Return the rows, of which those of `left_out` have a reason in place of their pairs."""
    if not left_out:
        return scored
    rows = scored.to_pylist()
    for row in rows:
        if row["case_id"] in left_out and row["reason"] is None:
            row.update(reason=REASON, pairs=[], unanswered=0)
    return pa.Table.from_pylist(rows, scored.schema)


def _in_groups(scored: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows in parts of `IMAGE_ROWS`, since as many images are read at a time."""
    for table in scored:
        for at in range(0, table.num_rows, IMAGE_ROWS):
            yield table.slice(at, IMAGE_ROWS)
