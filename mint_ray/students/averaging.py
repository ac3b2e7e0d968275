"""A student that has the mean of the weights of several, known as a model soup.

Source: Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves
accuracy without increasing inference time", ICML 2022.
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mint_ray.errors import TrainingError
from mint_ray.students.models.trained_weights import WHOLE_FILES, holds_adapter
from mint_ray.students.student_folder import MANIFEST, read_info, student_files, write_info

_WEIGHTS = WHOLE_FILES[1]


def average_students(folders: Sequence[Path], out: Path, lineage: Mapping[str, str]) -> None:
    """Write the student whose weights are the mean of those of finished students.

    `student.json` comes last, so half a folder is not a student. All else is the first student's.

    Args:
        folders: of students that were trained whole, from the same start.
        out: gets the files.
        lineage: names of the inputs of the new student.

    Raises:
        TrainingError: a folder does not hold a finished student, one of them was not trained
            whole, or they do not have the same weights.
    """
    first = folders[0]
    for folder in folders:
        read_info(folder)
        if holds_adapter(folder):
            raise TrainingError(
                f"{folder}: expected a student that was trained whole, found an adapter, whose "
                "two matrices have no mean together; set student.adapter=full"
            )
    out.mkdir(parents=True, exist_ok=True)
    for name in student_files(first):
        if name not in (_WEIGHTS, MANIFEST):
            shutil.copyfile(first / name, out / name)
    save_file(_mean_weights(folders), out / _WEIGHTS, metadata={"format": "pt"})
    write_info(out, replace(read_info(first), lineage=dict(lineage)))


def _mean_weights(folders: Sequence[Path]) -> dict[str, torch.Tensor]:
    """Return the mean of each weight, computed in float32, one weight after another."""
    with ExitStack() as stack:
        files: list[Any] = [
            stack.enter_context(safe_open(folder / _WEIGHTS, "pt")) for folder in folders
        ]
        names = sorted(files[0].keys())
        for folder, file in zip(folders, files, strict=True):
            if sorted(file.keys()) != names:
                raise TrainingError(
                    f"{folder}: expected the weights that {folders[0]} has, found others; train "
                    "both from the same base model"
                )
        means = {}
        for name in names:
            weights = [file.get_tensor(name) for file in files]
            mean = torch.stack([weight.float() for weight in weights]).mean(dim=0)
            means[name] = mean.to(weights[0].dtype)
        return means
