"""Cases of tiles: list them, open and describe each on Ray Data, split what can be used.

Pixels pass through in parts: neither the driver nor an actor ever holds more than a few hundred
tiles, however many there are. The list alone, of ids and places, is in memory.
"""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
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
from mint_ray.cases.tiles.source import TILE_REF_SCHEMA, TileRef
from mint_ray.config.cases import CasesConfig
from mint_ray.config.config import Config
from mint_ray.errors import DataError
from mint_ray.knowledge.catalogue import Catalogue, catalogue_of
from mint_ray.pipeline.steps import StepContext, StepOutcome
from mint_ray.runtime.inference import CaseInference, infer, infer_in_order
from mint_ray.runtime.session import begin_session

BATCH = 64
ROW_GROUP, LARGE_ROW_GROUP = 256, 64
LARGE_BYTES = 32 * 2**20
"""Tiles that together take more than this are written in smaller row groups."""

REASON_SCHEMA = pa.schema([("case_id", pa.string()), ("reason", pa.string())])
TILE_SCHEMA = REASON_SCHEMA.append(pa.field("image", pa.binary())).append(
    pa.field("description", pa.string())
)


class TileFinisher:
    """A Ray Data actor that opens tiles and describes them."""

    def __init__(self, settings: dict[str, Any], seed: int) -> None:
        self._config = CasesConfig.model_validate(settings)
        self._source = tile_source(self._config, seed)

    def __call__(self, batch: pa.Table) -> pa.Table:
        places = [TileRef(**row) for row in batch.to_pylist()]
        rows = [
            {"case_id": place.case_id, **done._asdict()}
            for place, done in zip(
                places, finish_tiles(places, self._source, self._config), strict=True
            )
        ]
        return pa.Table.from_pylist(rows, TILE_SCHEMA)


def run(context: StepContext) -> StepOutcome:
    """Write the case table and the catalogue."""
    config = context.config
    work = context.output / "work"
    source = tile_source(config.cases, config.seed)
    places, rejected = _list_places(source.list_tiles(), source.name)
    index = _write_index(work, places)
    context.progress.say(f"{len(places)} tiles to open, {len(rejected)} turned away before")
    begin_session(context.config.resources, context.progress.say)
    job = CaseInference(
        actor=TileFinisher,
        arguments={"settings": config.cases.model_dump(mode="json"), "seed": config.seed},
        columns=tuple(TILE_REF_SCHEMA.names),
        schema=TILE_SCHEMA,
        batch_size=BATCH,
    )
    # What cannot be used is known before splits are drawn: they are shares of what can.
    light = dataclasses.replace(job, schema=REASON_SCHEMA)
    found = infer(light, index, work / "tiles", config.resources)
    faults = dict(zip(found["case_id"].to_pylist(), found["reason"].to_pylist(), strict=True))
    usable, late = _usable(places, faults, config.cases, source.name)
    rejected += late
    if not usable:
        reasons = Counter(row.reason for row in rejected)
        raise DataError(f"no usable tile among {len(rejected)}: {dict(reasons)}", reasons)
    cases = _split(usable, config, source.name)
    names = {place.label_id: place.label_name for place in usable}
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
    outcome = _write_rest(context.output, cases, rejected, catalogue)
    shutil.rmtree(work)
    return outcome


def _list_places(
    found: Iterable[TileRef | RejectedCase], source: str
) -> tuple[list[TileRef], list[RejectedCase]]:
    """Places in the order of their ids, one of each label id's spellings, and rejections."""
    places, rejected = [], []
    for item in found:
        if isinstance(item, TileRef):
            places.append(item)
        else:
            rejected.append(item)
    if not places:
        reasons = Counter(item.reason for item in rejected)
        raise DataError(
            f"cases.source={source}: expected images with labels, found none; turned away: "
            f"{dict(reasons)}",
            reasons,
        )
    spellings = {(place.label_id, place.label_name) for place in places}
    # Of several spellings the one with the fewest capitals, whatever the order.
    names = dict(sorted(spellings, key=lambda s: (sum(map(str.isupper, s[1])), s[1]), reverse=True))
    named = (place._replace(label_name=names[place.label_id]) for place in places)
    return sorted(named), rejected


def _write_index(work: Path, places: list[TileRef]) -> Path:
    work.mkdir(exist_ok=True)
    columns = zip(*places, strict=True)
    pq.write_table(pa.table([list(c) for c in columns], TILE_REF_SCHEMA), work / "index.parquet")
    return work / "index.parquet"


def _usable(
    places: list[TileRef], faults: dict[str, str | None], config: CasesConfig, source: str
) -> tuple[list[TileRef], list[RejectedCase]]:
    """Places without a fault of labels with groups enough, and rejections of the others."""
    good = [place for place in places if faults[place.case_id] is None]
    groups: dict[str, set[str]] = {}
    for place in good:
        groups.setdefault(place.label_id, set()).add(place.group_id)
    usable, rejected = [], []
    for place in places:
        fault = faults[place.case_id]
        if fault is None and len(groups[place.label_id]) < config.images.min_label_groups:
            fault = "too_few_groups"
        if fault is None:
            usable.append(place)
        else:
            rejected.append(RejectedCase(place.case_id, source, fault))
    return usable, rejected


def _split(usable: list[TileRef], config: Config, source: str) -> list[Case]:
    """Cases without pixels, each with its split: the source's own where it sets them."""
    cases: list[Case] = [
        {
            **blank_case(place.case_id, source),
            "group_id": place.group_id,
            "label_id": place.label_id,
            "label_name": place.label_name,
            "split": place.split,
        }
        for place in usable
    ]
    if all(place.split is not None for place in usable):
        check_no_leakage(cases)
        return mark_seen(cases)
    return split_cases(cases, config.cases, config.seed)


def _write_cases(file: Path, parts: Iterator[pa.Table], wanted: dict[str, Case]) -> None:
    with pq.ParquetWriter(file, CASE_SCHEMA) as writer:
        for part in parts:
            rows: list[Any] = [wanted[case_id] for case_id in part["case_id"].to_pylist()]
            table = pa.Table.from_pylist(rows, CASE_SCHEMA)
            for name in ("image", "description"):
                at = CASE_SCHEMA.get_field_index(name)
                table = table.set_column(at, CASE_SCHEMA.field(name), part[name])
            size = LARGE_ROW_GROUP if part.nbytes > LARGE_BYTES else ROW_GROUP
            writer.write_table(table, row_group_size=size)


def _write_rest(
    out: Path, cases: list[Case], rejected: list[RejectedCase], catalogue: Catalogue
) -> StepOutcome:
    turned_away = pa.Table.from_pylist([vars(item) for item in rejected], REJECTED_SCHEMA)
    pq.write_table(turned_away, out / "rejected.parquet")
    catalogue.write(out / "catalogue.parquet")
    (out / "excluded_publications.txt").write_text("", encoding="utf-8")
    by_split = Counter(case["split"] for case in cases)
    return StepOutcome(
        rows_in=len(cases) + len(rejected),
        rows_out=len(cases),
        rejected=Counter(turned_away["reason"].to_pylist()),
        facts={
            "splits": {split: by_split[split] for split in SPLITS},
            "labels": len(catalogue),
            "catalogue": catalogue.revision(),
            "groups": len({case["group_id"] for case in cases}),
        },
    )
