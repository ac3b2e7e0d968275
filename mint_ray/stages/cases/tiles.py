"""Cases of tiles: listed, opened and described on Ray Data, then split.

Pixels pass through in parts: neither the driver nor an actor ever holds more than a few hundred
tiles, however many there are. Only the list of ids and references is in memory.
"""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mint_ray.cases.schema import (
    CASE_SCHEMA,
    REJECTED_SCHEMA,
    SPLITS,
    Case,
    RejectedCase,
    blank_case,
)
from mint_ray.cases.splits import check_no_leakage, mark_seen, split_cases
from mint_ray.cases.tiles.drawn import DrawnTiles
from mint_ray.cases.tiles.finish import finish_tiles, tile_source
from mint_ray.cases.tiles.pannuke import PanNuke
from mint_ray.cases.tiles.source import TILE_REF_SCHEMA, TileRef
from mint_ray.config.cases import CasesConfig
from mint_ray.config.config import Config
from mint_ray.errors import ConfigError, DataError
from mint_ray.knowledge.catalogue import Catalogue, catalogue_of
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.runtime.inference import CaseInference, infer, infer_in_order
from mint_ray.runtime.session import begin_session

BATCH = 64
ROW_GROUP, LARGE_ROW_GROUP = 256, 64
LARGE_BYTES = 32 * 2**20
"""Size in bytes of a part of tiles above which row groups are smaller."""

REASON_SCHEMA = pa.schema([("case_id", pa.string()), ("reason", pa.string())])
TILE_SCHEMA = REASON_SCHEMA.append(pa.field("image", pa.binary())).append(
    pa.field("description", pa.string())
)


class TileFinisher:
    """Ray Data actor that opens tiles and describes them."""

    def __init__(self, settings: dict[str, Any], seed: int) -> None:
        self._config = CasesConfig.model_validate(settings)
        self._source = tile_source(self._config, seed)

    def __call__(self, batch: pa.Table) -> pa.Table:
        refs = [TileRef(**row) for row in batch.to_pylist()]
        rows = [
            {"case_id": ref.case_id, **done._asdict()}
            for ref, done in zip(refs, finish_tiles(refs, self._source, self._config), strict=True)
        ]
        return pa.Table.from_pylist(rows, TILE_SCHEMA)


def run(context: StepContext) -> StepOutcome:
    """Write the case table and the catalogue."""
    config = context.config
    work = context.output / "work"
    source = tile_source(config.cases, config.seed)
    refs, rejected = _collect_refs(source.list_tiles(), source.name)
    if _states_splits(refs, source.name):
        _check_stated_splits(refs, config)
    if source.reading:
        context.progress.say(source.reading)
    index = _write_index(work, refs)
    context.progress.say(f"{len(refs)} tiles to open, {len(rejected)} rejected before")
    begin_session(context.config.resources, context.progress.say)
    job = CaseInference(
        actor=TileFinisher,
        arguments={"settings": config.cases.model_dump(mode="json"), "seed": config.seed},
        columns=tuple(TILE_REF_SCHEMA.names),
        schema=TILE_SCHEMA,
        batch_size=BATCH,
    )
    # Unusable tiles must be known before splits are drawn, which are shares of the usable ones.
    light = dataclasses.replace(job, schema=REASON_SCHEMA)
    opened = infer(light, index, work / "tiles", config.resources)
    faults = dict(zip(opened["case_id"].to_pylist(), opened["reason"].to_pylist(), strict=True))
    usable, unusable = _usable(refs, faults, config.cases, source.name)
    rejected += unusable
    if not usable:
        reasons = Counter(row.reason for row in rejected)
        raise DataError(f"no usable tile among {len(rejected)}: {dict(reasons)}", reasons)
    cases = _split(usable, config, source.name)
    names = {ref.label_id: ref.label_name for ref in usable}
    trained = {case["label_id"] for case in cases if case["split"] == "train"}
    labels = {label_id: name for label_id, name in names.items() if label_id in trained}
    if isinstance(source, DrawnTiles):
        labels |= source.labels()
    catalogue = catalogue_of(labels)
    context.progress.say(
        f"{len(cases)} tiles in {len({c['group_id'] for c in cases})} groups, catalogue of "
        f"{len(catalogue)} labels"
    )
    wanted = {case["case_id"]: case for case in cases}
    parts = infer_in_order(job, index, work / "tiles", config.resources, frozenset(wanted))
    _write_cases(context.output / "cases.parquet", parts, wanted)
    outcome = _write_tables(context.output, cases, rejected, catalogue, source.reading)
    shutil.rmtree(work)
    return outcome


def _collect_refs(
    items: Iterable[TileRef | RejectedCase], source: str
) -> tuple[list[TileRef], list[RejectedCase]]:
    """Return tile references in the order of their ids, and rejections.

    All references of a label id get the same label name.
    """
    refs, rejected = [], []
    for item in items:
        if isinstance(item, TileRef):
            refs.append(item)
        else:
            rejected.append(item)
    if not refs:
        reasons = Counter(item.reason for item in rejected)
        raise DataError(
            f"cases.source={source}: expected images with labels, found none; rejected: "
            f"{dict(reasons)}",
            reasons,
        )
    spellings = {(ref.label_id, ref.label_name) for ref in refs}
    # Of several spellings of a name, take the one with the fewest capitals, whatever the order.
    names = dict(sorted(spellings, key=lambda s: (sum(map(str.isupper, s[1])), s[1]), reverse=True))
    named = (ref._replace(label_name=names[ref.label_id]) for ref in refs)
    return sorted(named), rejected


def _write_index(work: Path, refs: list[TileRef]) -> Path:
    work.mkdir(exist_ok=True)
    columns = zip(*refs, strict=True)
    pq.write_table(pa.table([list(c) for c in columns], TILE_REF_SCHEMA), work / "index.parquet")
    return work / "index.parquet"


def _usable(
    refs: list[TileRef], faults: dict[str, str | None], config: CasesConfig, source: str
) -> tuple[list[TileRef], list[RejectedCase]]:
    """Return usable references of labels with enough groups, and rejections of the others."""
    intact = [ref for ref in refs if faults[ref.case_id] is None]
    groups: dict[str, set[str]] = {}
    for ref in intact:
        groups.setdefault(ref.label_id, set()).add(ref.group_id)
    usable, rejected = [], []
    for ref in refs:
        fault = faults[ref.case_id]
        if fault is None and len(groups[ref.label_id]) < config.min_label_groups:
            fault = "too_few_groups"
        if fault is None:
            usable.append(ref)
        else:
            rejected.append(RejectedCase(ref.case_id, source, fault))
    return usable, rejected


def _split(usable: list[TileRef], config: Config, source: str) -> list[Case]:
    """Return cases without pixels, each with its split: the source's, if it sets splits."""
    cases: list[Case] = [
        {
            **blank_case(ref.case_id, source),
            "group_id": ref.group_id,
            "label_id": ref.label_id,
            "label_name": ref.label_name,
            "split": ref.split,
        }
        for ref in usable
    ]
    if all(ref.split is not None for ref in usable):
        if _states_splits(usable, source):
            _check_stated_splits(usable, config)
        check_no_leakage(cases)
        return mark_seen(cases)
    return split_cases(cases, config.cases, config.seed, by_label=True)


def _states_splits(refs: Sequence[TileRef], source: str) -> bool:
    """Return whether folders state the splits; PanNuke's are a setting."""
    return source != PanNuke.name and all(ref.split is not None for ref in refs)


def _check_stated_splits(refs: Sequence[TileRef], config: Config) -> None:
    """Raise if the splits that folders state cannot be used as they are."""
    if config.cases.folds is not None:
        raise ConfigError(
            f"cases.folds={config.cases.folds}: expected images without splits of their own, found "
            "split folders; leave cases.folds empty, or set cases.images.levels with `skip` "
            "instead of `split`"
        )
    if missing := {"train", "test"} - {ref.split for ref in refs}:
        raise DataError(
            f"expected usable images of the splits train and test, found none of "
            f"{' and '.join(sorted(missing))}; add them, or have splits drawn: set "
            "cases.images.levels with `skip` instead of `split`"
        )


def _write_cases(file: Path, parts: Iterator[pa.Table], wanted: dict[str, Case]) -> None:
    with pq.ParquetWriter(file, CASE_SCHEMA) as writer:
        for part in parts:
            rows: list[Any] = [wanted[case_id] for case_id in part["case_id"].to_pylist()]
            table = pa.Table.from_pylist(rows, CASE_SCHEMA)
            for name in ("image", "description"):
                column = CASE_SCHEMA.get_field_index(name)
                table = table.set_column(column, CASE_SCHEMA.field(name), part[name])
            size = LARGE_ROW_GROUP if part.nbytes > LARGE_BYTES else ROW_GROUP
            writer.write_table(table, row_group_size=size)


def _write_tables(
    out: Path,
    cases: list[Case],
    rejected: list[RejectedCase],
    catalogue: Catalogue,
    reading: str,
) -> StepOutcome:
    rejected_table = pa.Table.from_pylist([vars(item) for item in rejected], REJECTED_SCHEMA)
    pq.write_table(rejected_table, out / "rejected.parquet")
    catalogue.write(out / "catalogue.parquet")
    (out / "excluded_publications.txt").write_text("", encoding="utf-8")
    by_split = Counter(case["split"] for case in cases)
    return StepOutcome(
        rows_in=len(cases) + len(rejected),
        rows_out=len(cases),
        rejected=Counter(rejected_table["reason"].to_pylist()),
        facts={
            "splits": {split: by_split[split] for split in SPLITS},
            "labels": len(catalogue),
            "catalogue": catalogue.revision(),
            "groups": len({case["group_id"] for case in cases}),
            **({"reading": reading} if reading else {}),
        },
    )
