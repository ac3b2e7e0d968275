"""Examples of a run, from its pairs and from the ranking of its training cases."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mint_ray.errors import ConfigError
from mint_ray.students.data.training_data import read_data
from mint_ray.students.objectives.registry import OBJECTIVES
from mint_ray.students.training_spec import TrainingSpec
from tests.students.pairs import LABELS, NAMES, labelled_row, student_config, training_config

IDS = list(LABELS)


def test_candidates_of_a_ranking_take_the_place_of_those_of_the_pairs(
    write_pairs: Callable[[list[dict[str, Any]]], Path],
    catalogue: Path,
    tokenizer: Any,
    tmp_path: Path,
) -> None:
    rows = [labelled_row(number) for number in range(3)]
    second = labelled_row(0, preference_id="pair-000b")  # another rejected set of the same case
    ranked = {"case-000": [IDS[4], IDS[0], IDS[7]], "case-001": [IDS[3], IDS[2]]}
    file = tmp_path / "candidates.parquet"
    columns = [list(ranked), list(ranked.values())]
    pq.write_table(pa.table(columns, ["case_id", "candidates"]), file)
    spec = TrainingSpec(
        write_pairs([*rows, second]),
        tmp_path / "out",
        student=student_config(Path("none")),
        training=training_config(objective="rcft", candidates="beam"),
        k=2,
        seed=0,
        catalogue=catalogue,
        candidates=file,
    )
    data = read_data(spec, OBJECTIVES["rcft"], tokenizer)
    assert data.usable.counts == {"too_few_candidates": 1}  # case-002 was not ranked
    first, other = data.example(0), data.example(1)
    names = [tokenizer.decode(ids).split("'")[0] for ids in first.completions]
    assert names == [NAMES[4], NAMES[0], NAMES[7]]
    assert (first.gold, first.nll_completions, len(first.preference_ids)) == (1, (1,), 2)
    # The search did not reach the known answer: it is not added, and the prompt alone is likely.
    assert (len(other.completions), other.gold, other.nll_completions) == (2, None, ())

    of_pairs = replace(spec, training=training_config(objective="rcft"))
    data = read_data(of_pairs, OBJECTIVES["rcft"], tokenizer)
    assert len(data) == 3
    assert len(data.example(0).completions) == 5
    with pytest.raises(ConfigError, match=r"candidates=beam: expected a ranking"):
        read_data(replace(spec, candidates=None), OBJECTIVES["rcft"], tokenizer)
    ignored = replace(spec, candidates=None, training=training_config(candidates="beam"))
    assert len(read_data(ignored, OBJECTIVES["orpo"], tokenizer)) == 3
