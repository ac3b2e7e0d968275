"""Command `mint diff`: what changed between two evaluations or comparisons."""

import math
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mint_ray.commands.evaluations import Tested, cases_folder, read_cases, read_tested_of
from mint_ray.errors import ConfigError
from mint_ray.evaluation.changes import CaseChange, changed_cases, count_kinds
from mint_ray.evaluation.comparison import paired_differences
from mint_ray.evaluation.outcomes import EvaluatedCases, Outcomes, collect_outcomes
from mint_ray.evaluation.predictions import read_predictions
from mint_ray.evaluation.results import MACRO, METRICS, STRATA
from mint_ray.evaluation.systems import FREE, split_variant, system_title
from mint_ray.reports.comparison.table import difference_text

_SHOWN = (f"top1{MACRO}", f"top10{MACRO}", f"mrr{MACRO}", "top1")
_TOP_K = 10
_SAMPLES = 1000


def difference_lines(
    first: Path, second: Path, systems: tuple[str, str] | None = None, most: int = 10
) -> Iterator[str]:
    """Yield lines that say what changed from the first output to the second.

    Args:
        first, second: folders of a finished `evaluate` or `compare` step, in their store.
        systems: a system of the first and one of the second; None for all that both have.
        most: number of changed cases to list for each system.

    Raises:
        ConfigError: a folder is no such output, the two have other cases, or no system in common.
        DataError: a file is missing or damaged.
    """
    one, other = _of_the_same_cases(first, second)
    tables = [read_predictions(folder / "predictions.parquet") for folder in (first, second)]
    pairs = [systems] if systems else _common_systems(*tables)
    for folder, table, names in zip((first, second), tables, zip(*pairs, strict=True), strict=True):
        _refuse_missing(folder, table, names)
    common = set(one.case_ids) & set(other.case_ids)
    left_out = len(set(one.case_ids) ^ set(other.case_ids))
    beside = f", {left_out} in one of the two only" if left_out else ""
    yield f"{len(common)} cases in both{beside}"
    for old, new in pairs:
        asked = common & _asked(one, old) & _asked(other, new)
        if not asked:
            raise ConfigError(
                f"expected a case that both {old} and {new} were asked, found none; name other "
                "systems with --systems"
            )
        cases = read_cases(one.cases, asked)
        before = collect_outcomes(tables[0], cases, _TOP_K, systems=[old])[old]
        after = collect_outcomes(tables[1], cases, _TOP_K, systems=[new])[new]
        yield ""
        yield from _system_lines(old, before, new, after, cases, most)


def _asked(tested: Tested, system: str) -> set[str]:
    """Return the ids of the cases that a system was asked: free answers are for some only."""
    free = FREE in split_variant(system)[1]
    return set(tested.answered_freely if free else tested.case_ids)


def _system_lines(
    one: str, before: Outcomes, other: str, after: Outcomes, cases: EvaluatedCases, most: int
) -> Iterator[str]:
    changes = changed_cases(before, after, cases)
    counts = count_kinds(changes)
    title = system_title(one) if one == other else f"{system_title(one)} -> {system_title(other)}"
    yield (
        f"{title}: {len(changes)} of {len(cases)} cases have another rank; first answer newly "
        f"right {counts['right']}, newly wrong {counts['wrong']}; else better {counts['better']}, "
        f"worse {counts['worse']}"
    )
    found = paired_differences(
        {"second": after, "first": before}, cases, "first", samples=_SAMPLES, seed=0
    )["second"]
    for stratum, item in found.items():
        shown = [
            f"{METRICS[name].title} {difference_text(name, item.metrics[name])}" for name in _SHOWN
        ]
        yield (
            f"  {STRATA.get(stratum, stratum)}, n = {item.metrics['top1']['n']}: "
            f"{'; '.join(shown)}; McNemar p {item.mcnemar.p_value:.2g}"
        )
    for change in changes[:most]:
        yield f"  {change.kind:<6} {change.case_id}  {change.known_id}  rank {_ranks(change)}"
    if len(changes) > most:
        yield f"  and {len(changes) - most} more (--cases {len(changes)} lists all)"


def _ranks(change: CaseChange) -> str:
    shown = [
        f"{rank:.0f}" if math.isfinite(rank) else "none"
        for rank in (change.first_rank, change.second_rank)
    ]
    return " -> ".join(shown)


def _of_the_same_cases(first: Path, second: Path) -> tuple[Tested, Tested]:
    """Return what both outputs tested, which must be of one `cases` step."""
    folders = [cases_folder(folder) for folder in (first, second)]
    if folders[0].name != folders[1].name:
        raise ConfigError(
            f"expected two outputs of the same cases, found {folders[0].name} for {first.name} and "
            f"{folders[1].name} for {second.name}"
        )
    return read_tested_of(first), read_tested_of(second)


def _common_systems(first: pa.Table, second: pa.Table) -> list[tuple[str, str]]:
    """Return the systems of both, each paired with itself, without perturbed and free answers."""
    named = [_systems_of(table) for table in (first, second)]
    common = [name for name in named[0] if name in named[1] and not split_variant(name)[1]]
    if not common:
        raise ConfigError(
            f"expected a system in both, found {', '.join(named[0])} and {', '.join(named[1])}; "
            "name one of each with --systems"
        )
    return [(name, name) for name in common]


def _systems_of(table: pa.Table) -> list[str]:
    return sorted(pc.unique(table["system"]).to_pylist())


def _refuse_missing(folder: Path, table: pa.Table, names: tuple[str, ...]) -> None:
    known = _systems_of(table)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{folder.name} has no system {name}; expected one of {', '.join(known)}"
            )
