"""What a process imports that only passes work on: its start is paid for in every run."""

import subprocess
import sys

SLOW = ("torch", "transformers", "peft", "deepspeed", "trl")
STARTS = {
    "mint_ray.serving.deploy.application": SLOW,  # and what takes requests
    "mint_ray.stages.calibrate": SLOW,
    "mint_ray.stages.candidates": SLOW,
    "mint_ray.stages.evaluate.stage": SLOW,
    "mint_ray.stages.prefer": SLOW,
    "mint_ray.commands.predict": SLOW,
    "mint_ray.commands.promote": SLOW,
    # Ray Train's own trainer needs torch. Drivers, controllers and trials import this module.
    "mint_ray.stages.train": SLOW[1:],
    "mint_ray.stages.tune.stage": SLOW[1:],
    "mint_ray.stages.workers.trial": SLOW[1:],
}


def test_nothing_slow_is_imported_where_nothing_is_computed() -> None:
    """In one process, one after another: a module that was imported stays."""
    code = f"""
import importlib, sys
for name, slow in {STARTS}.items():
    importlib.import_module(name)
    found = [module for module in slow if module in sys.modules]
    assert not found, f"{{name}} imports {{found}}"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
