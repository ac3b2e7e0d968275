"""Champions that can, or cannot, rank the cases of another student."""

from pathlib import Path

import pytest

from mint_ray.commands.promote import can_rank
from mint_ray.knowledge.catalogue import Catalogue, Label
from tests.students.joined import join_look_ups

MARFAN, HUNTINGTON = "OMIM:154700", "OMIM:143100"


@pytest.mark.parametrize("joined", [True, False])
def test_look_ups_rank_their_own_catalogue_only(tmp_path: Path, joined: bool) -> None:
    champion = tmp_path / "champion"
    champion.mkdir()
    labels = [Label(key, f"disease {key}", (key,), (), ()) for key in (MARFAN, HUNTINGTON)]
    Catalogue(labels).write(champion / "catalogue.parquet")
    if joined:
        join_look_ups(champion)
    Catalogue(labels[:1]).write(tmp_path / "other.parquet")
    assert can_rank(champion, champion / "catalogue.parquet")
    assert can_rank(champion, tmp_path / "other.parquet") != joined
