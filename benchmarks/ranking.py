"""Seconds to rank the names of all annotated diseases, and what a beam search misses.

    python benchmarks/ranking.py --cases 16 --checked 50 --out benchmarks/results/ranking.json

Notes name a few annotated findings of random diseases. Each row of `seconds` gives a precision, a
beam width and a number of cases that are computed together; one case at a time, without a kept
beginning, is how an evaluation ranked before it took eight. To compare with an earlier release, run
this script in its checkout. `agreement` compares a beam with the exhaustive search on the same
notes: the share of cases with the same first name, and the mean share of the ten best names that
the beam lists too. The exhaustive search computes one case at a time, which bounds its memory, and
takes about 10 TFLOP a case.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from record_run import hardware

from mint_ray.common.devices import Precision
from mint_ray.config.training import StudentConfig
from mint_ray.knowledge.annotations import load_annotations
from mint_ray.knowledge.catalogue import build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.pipeline.manifest import package_versions
from mint_ray.students.ranking.ranker import Ranker
from mint_ray.students.ranking.rankings import Ranking
from mint_ray.students.student import Student, load_base_student, load_student

TOP = 10


def draw_notes(n: int, seed: int) -> tuple[tuple[str, ...], list[str]]:
    """Return the catalogue's names, and n notes with up to twelve findings of a disease each."""
    annotations, ontology = load_annotations(), load_ontology()
    catalogue = build_catalogue(annotations, {}, "OMIM", "all")
    rng, notes = random.Random(seed), list[str]()
    while len(notes) < n:
        label = rng.choice(catalogue.labels)
        terms = [row.term for row in annotations.of(*label.ids) if not row.excluded]
        if terms:
            chosen = rng.sample(terms, min(len(terms), rng.randint(3, 12)))
            notes.append(". ".join(ontology.name(term) for term in chosen) + ".")
    return catalogue.names, notes


def load(folder: Path | None, precision: Precision) -> Student:
    """Load a finished student, or the embedded base model."""
    if folder is not None:
        return load_student(folder, precision=precision)
    return load_base_student(StudentConfig(), k=3, precision=precision)


def time_beam(
    student: Student, names: Sequence[str], notes: Sequence[str], width: int, together: int
) -> float:
    """Return the seconds a case of a beam search, after a first batch that is not counted."""
    ranker = Ranker(
        student,
        names,
        top_k=TOP,
        search="beam",
        beam_width=width,
        batch_size=together,
        frozen=together > 1,
    )
    ranker.rank(notes[:together])
    start = time.perf_counter()
    ranker.rank(notes)
    return (time.perf_counter() - start) / len(notes)


def agreement(beams: Sequence[Ranking], exhaustive: Sequence[Ranking]) -> dict[str, float]:
    """Return the shares of a beam's first name, and of its best names, that are the true ones."""
    pairs = list(zip(beams, exhaustive, strict=True))
    same = sum(beam.labels[0] == full.labels[0] for beam, full in pairs)
    shared = sum(len({*beam.labels[:TOP]} & {*full.labels[:TOP]}) for beam, full in pairs)
    return {
        "cases": len(pairs),
        "top1": same / len(pairs),
        "top10": shared / (len(pairs) * min(TOP, len(exhaustive[0].labels))),
    }


def check_beams(
    student: Student, names: Sequence[str], notes: Sequence[str], widths: Sequence[int]
) -> dict[str, Any]:
    """Compare beams with the exhaustive search; return agreement by width, and seconds a case."""
    start = time.perf_counter()
    exhaustive = Ranker(student, names, top_k=TOP, search="exhaustive").rank(notes)
    seconds = (time.perf_counter() - start) / len(notes)
    found: dict[str, Any] = {"exhaustive_seconds_per_case": seconds}
    for width in widths:
        ranker = Ranker(student, names, top_k=TOP, search="beam", beam_width=width, batch_size=8)
        found[str(width)] = agreement(ranker.rank(notes), exhaustive)
    return found


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--student", type=Path, help="folder; the embedded base model if absent")
    parser.add_argument("--names", type=int, help="first names of the catalogue only")
    parser.add_argument("--cases", type=int, default=16, help="cases to time")
    parser.add_argument("--checked", type=int, default=50, help="cases to search exhaustively")
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--together", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    all_names, notes = draw_notes(max(options.cases, options.checked), options.seed)
    names = all_names[: options.names]
    rows, student = [], None
    for precision in options.precisions:
        student = load(options.student, precision)
        for width in options.widths:
            for together in options.together:
                timed = notes[: options.cases]
                seconds = time_beam(student, names, timed, width, together)
                rows.append(
                    {
                        "precision": precision,
                        "beam_width": width,
                        "cases_together": together,
                        "seconds_per_case": round(seconds, 4),
                    }
                )
                print(rows[-1], flush=True)
    found: dict[str, Any] = {"names": len(names), "cases": options.cases, "seconds": rows}
    if options.checked and student is not None:
        # In the precision that was timed last.
        checked = check_beams(student, names, notes[: options.checked], options.widths)
        found["agreement"] = {"precision": options.precisions[-1], **checked}
    found |= {"hardware": hardware(), "versions": package_versions()}
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
