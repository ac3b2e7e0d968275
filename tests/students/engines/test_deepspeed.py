"""DeepSpeed's engine on machines where nothing was built."""

import os
import subprocess
import sys
from pathlib import Path

STEP = """
import torch
from mint_ray.common.collectives import process_group
from mint_ray.config.training import TrainingConfig
from mint_ray.students.engines.deepspeed import DeepSpeedEngine

with process_group(wanted=True):
    DeepSpeedEngine(torch.nn.Linear(2, 1), TrainingConfig(deepspeed="zero2"), 1, 1)
print("made")
"""


def test_nothing_is_compiled(tmp_path: Path) -> None:
    """A machine without a compiler can train; one with a compiler is not kept busy for minutes."""
    tools = tmp_path / "tools"
    tools.mkdir()
    extensions = tmp_path / "extensions"
    environment = {**os.environ, "PATH": str(tools), "TORCH_EXTENSIONS_DIR": str(extensions)}
    command = [sys.executable, "-c", STEP]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.split()[-1:] == ["made"], done.stderr[-2000:]
    assert not extensions.exists() or not list(extensions.iterdir())
