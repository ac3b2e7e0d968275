import logging
from pathlib import Path

from mint_ray.runtime.worker_log import keep_worker_log, new_worker_lines


def test_notes_are_read_once_and_only_new_ones(tmp_path: Path) -> None:
    logger = logging.getLogger("mint_ray.somewhere")
    with keep_worker_log(tmp_path):
        logger.info("of an earlier start")
    notes = new_worker_lines(tmp_path)
    assert notes.read() == []
    with keep_worker_log(tmp_path):
        logger.info("layout: %s", "shared")
        assert notes.read() == [b"layout: shared"]
        logger.warning("checkpoint is damaged")
    logger.info("not kept")
    assert notes.read() == [b"checkpoint is damaged"]
    assert notes.read() == []
