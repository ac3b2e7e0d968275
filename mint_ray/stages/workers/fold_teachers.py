"""Fits of the cross-fitted teachers, one Ray task for each part of the training groups."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ray

from mint_ray.common.files import read_json, write_json
from mint_ray.config.config import Config
from mint_ray.errors import MintError, of_plain, to_plain
from mint_ray.runtime.ray_train import use_resources
from mint_ray.teachers.cross_fit import fold_folder, write_fold_cases
from mint_ray.teachers.registry import find_fitter

SUMMARY = "summary.json"
"""File with the accuracies of a fit; written last, so that a folder with it is finished."""


def fit_folds(
    config: Config,
    cases: Path,
    output: Path,
    fold_of: Mapping[str, int],
    on_fitted: Callable[[int, dict[str, float]], None],
) -> None:
    """Fit a teacher without each part of the training groups, as many at a time as fit.

    Parts that an interrupted run has fitted are kept.

    Args:
        config: of the run.
        cases: folder of the stage `cases`.
        output: folder of the teacher.
        fold_of: part of each training group.
        on_fitted: called with the part and its accuracies on the validation split.

    Raises:
        MintError: a fit raised it.
    """
    resources = config.resources
    task = ray.remote(
        # Not less than one CPU: fits beside each other on one core only take each other's time.
        num_cpus=max(1.0, resources.cpus_per_worker),
        num_gpus=resources.gpus_per_worker,
        max_retries=max(0, resources.max_failures),
    )(_fit_fold)
    tree = config.model_dump(mode="json")
    running = {}
    for fold in sorted(set(fold_of.values())):
        groups = sorted(group for group, part in fold_of.items() if part == fold)
        if not (fold_folder(output, fold) / SUMMARY).exists():
            arguments = (tree, str(cases), str(fold_folder(output, fold)), groups)
            running[task.remote(*arguments)] = fold
    while running:
        (done,), _ = ray.wait(list(running), num_returns=1)
        fold = running.pop(done)
        refused = ray.get(done)
        if refused:
            for reference in running:
                ray.cancel(reference, force=True)
            raise of_plain(refused)
        on_fitted(fold, read_json(fold_folder(output, fold) / SUMMARY))


def _fit_fold(tree: dict[str, Any], cases: str, folder: str, groups: list[str]) -> dict[str, str]:
    """Fit one teacher; return a MintError as plain JSON, since Ray must not retry it, or {}."""
    config, out = Config.model_validate(tree), Path(folder)
    use_resources(config.resources)
    source = out / "cases"
    try:
        write_fold_cases(Path(cases), frozenset(groups), source)
        metrics = find_fitter(config).load()(source, config, out, lambda report: None)
    except MintError as error:
        return to_plain(error)
    shutil.rmtree(source)
    write_json(out / SUMMARY, metrics)
    return {}
