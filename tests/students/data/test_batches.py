import pytest
from hypothesis import given
from hypothesis import strategies as st

from mint_ray.config.checks import check_batch_size
from mint_ray.errors import ConfigError
from mint_ray.students.data.batches import cut, share_of


@given(
    lengths=st.lists(st.integers(1, 999), min_size=1, max_size=40),
    micro=st.integers(1, 9),
    world=st.integers(1, 5),
)
def test_every_example_is_dealt_once(lengths: list[int], micro: int, world: int) -> None:
    batches = cut(lengths, micro, world)
    dealt = [share_of(batches, rank, world) for rank in range(world)]
    places = [place for share in dealt for batch in share for place in batch]
    assert sorted(places) == list(range(len(lengths)))
    assert all(len(batch) <= micro for batch in batches)
    assert all(dealt) or len(lengths) < world


def test_like_lengths_stand_together() -> None:
    assert cut([7, 30, 8, 31, 9], 2, 1) == [[3, 1], [4, 2], [0]]


@pytest.mark.parametrize(
    ("batch", "micro", "world", "engine", "fits"),
    [
        (4, 2, 2, "zero2", True),
        (4, 3, 1, "zero2", False),
        (4, 3, 1, "off", True),
        (5, 2, 2, "off", True),
        (1, 1, 2, "off", False),
    ],
)
def test_batches_that_cannot_be_dealt_are_refused(
    batch: int, micro: int, world: int, engine: str, fits: bool
) -> None:
    even = engine != "off"
    if fits:
        check_batch_size(batch, micro, world, even)
        return
    with pytest.raises(ConfigError, match=f"batch_size={batch}"):
        check_batch_size(batch, micro, world, even)
