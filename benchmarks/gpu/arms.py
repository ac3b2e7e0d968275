"""Students that differ in one thing, trained on a borrowed GPU at once, without Ray.

    python benchmarks/gpu/arms.py --bundle build/gpu --out results --minutes 12

A small model leaves a large GPU idle between its kernels, so each arm has a process of its own and
all run at the same time. Each trains its passes over the pairs and then ranks held-out cases, all
in the same random order, until the time is over. `--out` gets `NAME.json` with the figures and
`NAME.parquet` with the predictions. The same training ends in other students by rounding alone, so
one pair of students says little: `--seeds 1 2 3` trains each arm so many times, as `NAME-1` and so
on.
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import run
from job import TRAINED, Arm, Clock, Job, Result, Save, Skip

NAMES = {"odds_over": "names", "orpo_lambda": 1.0}
"""The odds ratio of the answers without the beginning that all share, and at full weight."""

ARMS = {
    "orpo": Arm("patients", "orpo", passes=1),
    "sft": Arm("patients", "sft", passes=1),
    "dpo": Arm("patients", "dpo", passes=1, start="sft"),
    "orpo_names": Arm("patients", "orpo", passes=1, changes=NAMES),
    "orpo_worst": Arm("worst", "orpo", passes=1),
    "sft_lists": Arm("lists", "sft", passes=1),
    "orpo_of_words": Arm("of_words", "orpo", passes=1),
    "orpo_permuted": Arm("patients", "orpo", passes=1, changes={"answers": "permuted"}),
    "cft": Arm("patients", "cft", passes=1, start="orpo", changes={"learning_rate": 1e-5}),
    "rcft": Arm("patients", "rcft", passes=1, start="orpo", changes={"learning_rate": 1e-5}),
    "orpo_3": Arm("patients", "orpo", passes=3),
    "orpo_larger": Arm(
        "patients", "orpo", passes=1, model="larger", changes={"learning_rate": 1e-4}
    ),
}
"""`worst`, `lists` and `of_words` are pairs that `bundle.py --prefer worst=FOLDER ...` adds:
rejected the teacher's last answers; chosen its first answer, right or wrong; and the answers of the
same teacher without what the note withholds (`teacher.reports=false`). `larger` is a folder in
`models` of `--work`, which `scripts/larger_model.py` makes."""

Student = tuple[str, int | None]
"""An arm, and its seed if it is not the bundle's own."""


def main() -> None:
    """Start a process for each arm, and wait for all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="gets the results, small files")
    parser.add_argument("--work", type=Path, help="gets students; OUT/work by default")
    parser.add_argument("--minutes", type=float, default=15.0, help="for all together")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, help="the bundle's own seed by default")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    work = (options.work or options.out / "work").resolve()
    clock = Clock(options.minutes * 60)
    students = list(product(options.arms, options.seeds or [None]))
    if options.alone:
        [student] = students
        job = Job(options.bundle, options.out, work, options.dry_run)
        part = partial(_train, student=student)
        state = run.run_part(_name(student), part, job, clock.left / 60)
        raise SystemExit(f"{_name(student)}: {state}" if state.startswith("failed") else 0)
    bundle = run.prepare(options.bundle.resolve(), work)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__, "--bundle", str(bundle), "--out", str(options.out)]
    command += ["--work", str(work), *(["--dry-run"] if options.dry_run else [])]
    command += ["--minutes", str(clock.left / 60), "--alone"]
    started = {
        student: subprocess.Popen([*command, *_arguments(student)], env=environment)
        for student in students
    }
    failed = [_name(student) for student, process in started.items() if process.wait()]
    if failed:
        raise SystemExit(f"some arms failed: {', '.join(failed)}")


def _name(student: Student) -> str:
    arm, seed = student
    return arm if seed is None else f"{arm}-{seed}"


def _arguments(student: Student) -> list[str]:
    arm, seed = student
    return ["--arms", arm, *([] if seed is None else ["--seeds", str(seed)])]


def _train(job: Job, clock: Clock, save: Save, student: Student) -> Result:
    """Train and rank a student, once the one that it starts from is there."""
    from students import train_and_rank  # which needs what the bundle has

    name, seed = student
    arm = ARMS[name]
    if arm.start is not None:
        start = _name((arm.start, seed))
        arm = replace(arm, start=start)
        while not (job.students / start / TRAINED).is_file():
            if clock.left < 0:
                raise Skip(f"{start}, which it starts from, was not there in time")
            time.sleep(1)
    return train_and_rank(job, clock, save, _name(student), replace(arm, seed=seed))


if __name__ == "__main__":
    main()
