"""Collection of garbage around imports: paused in the body, afterwards as it was before."""

import gc
from collections.abc import Iterator

import pytest

from mint_ray.common.imports import collection_paused


@pytest.fixture(params=[True, False], ids=["enabled", "disabled"])
def was_enabled(request: pytest.FixtureRequest) -> Iterator[bool]:
    enabled: bool = request.param
    gc.enable() if enabled else gc.disable()
    yield enabled
    gc.enable()


def test_it_is_afterwards_as_before(was_enabled: bool) -> None:
    with collection_paused():
        assert not gc.isenabled()
    assert gc.isenabled() == was_enabled


def test_a_failed_import_brings_it_back(was_enabled: bool) -> None:
    with pytest.raises(ModuleNotFoundError), collection_paused():
        raise ModuleNotFoundError
    assert gc.isenabled() == was_enabled
