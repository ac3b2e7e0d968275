"""A driver of its own for the test that kills one: FOLDER URL."""

import sys
from pathlib import Path

from mint_ray.stages import reason
from tests.stages.reason_inputs import with_settings

if __name__ == "__main__":
    folder, url = Path(sys.argv[1]), sys.argv[2]
    inputs = {name: folder / "inputs" / name for name in ("cases", "index")}
    server = {"base_url": url, "model": "fake", "timeout": 5, "retries": 0, "concurrency": 1}
    reason.run(
        with_settings(inputs, folder / "output", protocol="rag_cot", chat="server", server=server)
    )
