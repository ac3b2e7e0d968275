"""Stage `prefer`: the teacher ranks every label for every case; pairs go to parquet.

Ray Data streams cases through a pool of teacher actors (one GPU each where configured) and
writes one row per case, so that an interrupted run continues where it stopped. The rows are
then sorted and exploded into `train.parquet`, `validation.parquet` and `test.parquet`.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mint_ray.cases.schema import REJECTED_SCHEMA, SPLITS
from mint_ray.config import PreferencesConfig
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.preferences.build import check_catalogue_size
from mint_ray.preferences.card import write_card
from mint_ray.preferences.schema import PREFERENCE_SCHEMA, SCORED_SCHEMA
from mint_ray.stages.inference import CaseInference, infer
from mint_ray.stages.ray_session import connect
from mint_ray.steps import StepContext, StepOutcome
from mint_ray.teachers.base import SEEN_COLUMNS, load_manifest

CASE_COLUMNS = ("case_id", "group_id", "split", "label_id", "note", "source", *SEEN_COLUMNS)


class PairBuilder:
    """A Ray Data actor that holds one teacher and turns a batch of cases into pairs."""

    def __init__(
        self, teacher_folder: str, catalogue_file: str, settings: Mapping[str, Any], key: str
    ) -> None:
        from mint_ray.preferences.pairs import CasePairs
        from mint_ray.teachers.base import load_teacher

        self._pairs = CasePairs(
            teacher=load_teacher(Path(teacher_folder)),
            catalogue=Catalogue.read(Path(catalogue_file)),
            config=PreferencesConfig.model_validate(settings),
            key=key,
        )

    def __call__(self, batch: pa.Table) -> pa.Table:
        return pa.Table.from_pylist(self._pairs.build(batch), schema=SCORED_SCHEMA)


def run(context: StepContext) -> StepOutcome:
    """Score all cases, write the preference dataset, its rejections and its card."""
    config, cases = context.config, context.inputs["cases"]
    catalogue = Catalogue.read(cases / "catalogue.parquet")
    check_catalogue_size(len(catalogue), config.preferences)
    context.task.say(connect(config.resources))
    job = CaseInference(
        actor=PairBuilder,
        arguments={
            "teacher_folder": str(context.inputs["teach"]),
            "catalogue_file": str(cases / "catalogue.parquet"),
            "settings": config.preferences.model_dump(),
            "key": context.key,
        },
        columns=CASE_COLUMNS,
        schema=SCORED_SCHEMA,
        batch_size=config.preferences.batch_size,
    )
    scored = infer(job, cases / "cases.parquet", context.output / "scored", config.resources)
    return _write(context, scored, len(catalogue))


def _write(context: StepContext, scored: pa.Table, n_labels: int) -> StepOutcome:
    """Explode the scored rows into one file per split; write rejections and card."""
    bad = scored.filter(pc.is_valid(scored["reason"])).select(REJECTED_SCHEMA.names)
    pq.write_table(bad.cast(REJECTED_SCHEMA), context.output / "rejected.parquet")
    rejected = Counter(bad["reason"].to_pylist())
    pairs = pa.Table.from_struct_array(pc.list_flatten(scored["pairs"]).combine_chunks())
    by_split: dict[str, int] = {}
    for split in SPLITS:
        part = pairs.filter(pc.equal(pairs["split"], split)).cast(PREFERENCE_SCHEMA)
        pq.write_table(part, context.output / f"{split}.parquet", row_group_size=256)
        by_split[split] = part.num_rows
    teacher = load_manifest(context.inputs["teach"])
    write_card(
        context.output / "README.md",
        context.config.preferences,
        pairs=by_split,
        rejected=rejected,
        teacher=f"{teacher['name']}@{teacher['revision']}",
        labels=n_labels,
        key=context.key,
    )
    return StepOutcome(
        rows_in=scored.num_rows,
        rows_out=pairs.num_rows,
        rejected=rejected,
        facts={"pairs": by_split, "teacher": teacher["revision"]},
    )
