"""A driver of its own for the test that kills one: SOURCE OUT SECONDS_PER_BATCH."""

import sys
from pathlib import Path

from mint_ray.config.resources import ResourcesConfig
from mint_ray.runtime.inference import infer
from mint_ray.runtime.session import connect
from tests.runtime.test_inference import job

if __name__ == "__main__":
    source, out, seconds = sys.argv[1:]
    resources = ResourcesConfig()
    connect(resources)
    infer(job(seconds=float(seconds)), Path(source), Path(out), resources)
