"""Files of a finished student, and its record `student.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from mint_ray.common.files import read_json, write_json
from mint_ray.errors import TrainingError
from mint_ray.tasks.prompts import PromptForm

MANIFEST = "student.json"
CATALOGUE = "catalogue.parquet"
FORMAT = 1
FILES = (
    "adapter_*",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "*token*.json",
    "*processor*.json",
    "chat_template.*",
    "vocab.*",
    "merges.txt",
    "*.model",
    CATALOGUE,
    MANIFEST,
)
"""Name patterns of the files of trained weights, of a tokenizer or processor, and of a student."""


@dataclass(frozen=True)
class StudentInfo:
    """Content of `student.json`.

    `k` is the number of names a prompt asks for. `objective` is None for a base model alone.
    `lineage` names the inputs (pairs, teacher, config hash) as the caller knows them. `task` is the
    name of the student's task (`tasks.task.TASKS`), `prompt_form` the order in its prompts.
    """

    base_model: str
    base_revision: str | None
    k: int
    max_prompt_length: int
    max_length: int
    objective: str | None = None
    lineage: Mapping[str, str] = field(default_factory=dict)
    task: str = "disease"
    prompt_form: PromptForm = "instruction_first"


def read_info(folder: Path) -> StudentInfo:
    """Read `student.json` of a student folder.

    Raises:
        TrainingError: the folder does not hold a finished student.
    """
    try:
        content = read_json(folder / MANIFEST)
        if content.pop("format") != FORMAT:
            raise ValueError("format")
        # Records of former releases do not name the form.
        info = StudentInfo(**({"prompt_form": "note_first"} | content))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{folder}: expected a finished student ({MANIFEST} beside an adapter), found none "
            f"({type(error).__name__}); give the folder of a completed train step"
        ) from error
    return info


def write_info(folder: Path, info: StudentInfo) -> None:
    """Write `student.json`, which makes a folder with a student's other files a student."""
    write_json(folder / MANIFEST, {"format": FORMAT, **asdict(info)})


def student_files(folder: Path) -> list[str]:
    """List the names of the files that make a folder a student; `student.json` comes last.

    Raises:
        TrainingError: the folder does not hold a finished student.
    """
    read_info(folder)
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    matching = [name for name in names if any(fnmatch(name, pattern) for pattern in FILES)]
    return sorted(matching, key=lambda name: name == MANIFEST)
