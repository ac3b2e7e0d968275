"""Accuracy of the disease teachers on published patients, over folds of whole groups.

    python benchmarks/disease_teachers.py --cases phenopackets.zip \
        --publications publications.txt --work /tmp/disease_teachers \
        --out benchmarks/results/disease_teachers.json

Every teacher sees the same terms and no image. Part `fold` of the groups is tested, the next one
is the validation split, and the others are the training split. Ranks are kept in `--work`, so that
an interrupted run continues, and teachers may be added later. At most ten cases of a group count.
"""

import argparse
import json
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from record_run import hardware

from mint_ray.cases.patients.finish import finish_cases
from mint_ray.cases.patients.phenopackets import read_phenopackets
from mint_ray.cases.schema import CASE_SCHEMA, Case, ParsedCase
from mint_ray.cases.splits import assign_folds, join_groups
from mint_ray.config.cases import CasesConfig
from mint_ray.config.config import Config
from mint_ray.evaluation.case_sample import choose_cases
from mint_ray.evaluation.metrics.bootstrap import mean_interval
from mint_ray.evaluation.metrics.ece import equal_mass_bins
from mint_ray.evaluation.metrics.shares import mean_share_interval
from mint_ray.knowledge.annotations import (
    Annotations,
    PooledLines,
    load_annotations,
    read_publications,
)
from mint_ray.knowledge.catalogue import Catalogue, build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.pipeline.manifest import package_versions
from mint_ray.teachers.base import SEEN_COLUMNS, Teacher, load_teacher
from mint_ray.teachers.registry import find_fitter

logger = logging.getLogger("disease_teachers")

FOLDS = 5
CAP = 10
AT_ONCE = 256
TEACHERS = ("knowledge", "neighbours", "stacked", "fusion")
STRATA = ("all", "seen", "annotated", "named", "not_in_catalogue")
UNSEEN = (2, 3, 4)
"""Positions in `STRATA` of the answers that no training patient has."""
BINS = 10
PAIRS = (("stacked", "neighbours"), ("stacked", "fusion"))
"""Teachers whose difference is measured on the folds that both were fitted on."""
DIFFERENCES = ("all", "unseen", "unseen_without_largest")
"""Strata of the differences."""


def read_cases(path: Path) -> list[Case]:
    """Read the cases of a phenopacket release, every finding as a term, without images."""
    ontology = load_ontology()
    parsed = [c for c in read_phenopackets(path, ontology) if isinstance(c, ParsedCase)]
    cases: list[Any] = [{**c.case, "note": "-"} for c in parsed]  # teachers read no notes here
    config = CasesConfig.model_validate({"modalities": "text_only"})
    return finish_cases(join_groups(cases), {}, ontology, config, 0).cases


def write_source(folder: Path, cases: pa.Table, publications: Path, named: Annotations) -> None:
    """Write what the stage `cases` would write."""
    train = cases.filter(pc.equal(cases["split"], "train"))
    names = dict(zip(train["label_id"].to_pylist(), train["label_name"].to_pylist(), strict=True))
    names.pop(None, None)
    folder.mkdir(parents=True, exist_ok=True)  # an interrupted one is written again
    pq.write_table(cases, folder / "cases.parquet")
    build_catalogue(named, names, "OMIM", "all").write(folder / "catalogue.parquet")
    lines = "\n".join(sorted(read_publications(publications)))
    (folder / "excluded_publications.txt").write_text(lines, encoding="utf-8")


def strata_of(source: Path, tested: pa.Table) -> np.ndarray:
    """Return (n,) the kind of each case's answer, a position in `STRATA`."""
    catalogue = Catalogue.read(source / "catalogue.parquet")
    annotations = load_annotations(read_publications(source / "excluded_publications.txt"))
    kinds = []
    for label, seen in zip(tested["label_id"].to_pylist(), tested["seen"].to_pylist(), strict=True):
        index = catalogue.index_of(label)
        if index is None:
            kinds.append("not_in_catalogue")
        elif seen:
            kinds.append("seen")
        else:
            has_some = any(not a.excluded for a in annotations.of(*catalogue.label(index).ids))
            kinds.append("annotated" if has_some else "named")
    return np.array([STRATA.index(kind) for kind in kinds])


def fit_teacher(
    name: str,
    source: Path,
    seed: int,
    pooled: PooledLines = "keep",
    *,
    reports: bool = True,
    cases: Mapping[str, Any] | None = None,
) -> tuple[Teacher, float]:
    """Fit a teacher with its default settings; return it and the seconds of the fit.

    Args:
        name: of the teacher.
        source: folder that `write_source` wrote.
        seed: of the run.
        pooled: setting `knowledge.pooled_lines`.
        reports: setting `teacher.reports`.
        cases: settings of the cases that the teacher asks for.
    """
    settings = {
        "teacher": {"name": name, "reports": reports},
        "seed": seed,
        "knowledge": {"pooled_lines": pooled},
        "cases": dict(cases or {}),
    }
    config = Config.model_validate(settings)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        find_fitter(config).load()(source, config, Path(folder), lambda report: None)
        seconds = time.monotonic() - started
        return load_teacher(Path(folder)), seconds


def judge(
    teacher: Teacher, rows: Sequence[Mapping[str, Any]], catalogue: Catalogue
) -> dict[str, np.ndarray]:
    """Return what a teacher says of the answers of n cases.

    An answer that ties with other labels counts in the middle of them.

    Args:
        teacher: fitted.
        rows: cases with the `SEEN_COLUMNS` and `label_id`.
        catalogue: the labels.

    Returns:
        `ranks` (n,) from 1, infinite if missed; `logps` (n,) log-probabilities of the answers, NaN
        if missed; `confidence` (n,) of the first label, 0 for a case that cannot be judged.
    """
    found: list[tuple[float, float, float]] = []
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        scores = teacher.score({name: [row[name] for row in part] for name in SEEN_COLUMNS})
        for row, values in zip(part, scores, strict=True):
            index = catalogue.index_of(row["label_id"] or "")
            judged = bool(np.isfinite(values).all())
            confidence = float(np.exp(values.max())) if judged else 0.0
            if index is None or not judged:
                found.append((np.inf, np.nan, confidence))
            else:
                ties = (values == values[index]).sum() - 1
                rank = 1 + (values > values[index]).sum() + ties / 2
                found.append((float(rank), float(values[index]), confidence))
    columns = np.array(found, dtype=np.float64).reshape(-1, 3).T
    return dict(zip(("ranks", "logps", "confidence"), columns, strict=True))


def answer_ranks(
    teacher: Teacher, rows: Sequence[Mapping[str, Any]], catalogue: Catalogue
) -> np.ndarray:
    """Return (n,) ranks of the answers; see `judge`."""
    return judge(teacher, rows, catalogue)["ranks"]


def run_fold(
    cases: Sequence[Case], fold: int, options: argparse.Namespace, named: Annotations
) -> None:
    """Fit and measure the teachers on one fold; what is in the work folder is kept."""
    placed = assign_folds(cases, FOLDS, fold, True, options.seed)
    table = pa.Table.from_pylist(placed, CASE_SCHEMA)
    tested = choose_cases(table, None, options.seed, max_per_group=CAP)
    source = options.work / f"fold-{fold}"
    if not (source / "excluded_publications.txt").exists():
        write_source(source, table, options.publications, named)
    for name in options.teachers:
        file = source / f"{name}.npz"
        if not file.exists():
            teacher, seconds = fit_teacher(name, source, options.seed)
            catalogue = Catalogue.read(source / "catalogue.parquet")
            judged = judge(teacher, tested.to_pylist(), catalogue)
            np.savez(file, allow_pickle=False, seconds=seconds, **judged)
        logger.info("fold %d %s: top-1 %.3f", fold, name, np.mean(np.load(file)["ranks"] <= 1))
    groups = np.array(tested["group_id"].to_pylist())
    np.savez(source / "cases.npz", strata=strata_of(source, tested), groups=groups)


def micro_and_macro(values: np.ndarray, groups: np.ndarray, seed: int) -> dict[str, list[float]]:
    """Return the mean over cases and over groups, each with its interval over groups.

    Args:
        values: (n,) hits, 0 or 1, or differences of hits, which may be −1.
        groups: (n,) group of each case.
        seed: of the resamples.
    """
    interval_of = mean_share_interval if values.min() >= 0 else mean_interval
    numbers = np.unique(groups, return_inverse=True)[1]
    micro = interval_of(values, numbers, 1000, seed)
    means = np.bincount(numbers, values) / np.bincount(numbers)
    macro = interval_of(means, np.arange(len(means)), 1000, seed)
    return {
        name: [round(value, 4) for value in (interval.value, interval.low, interval.high)]
        for name, interval in (("micro", micro), ("macro", macro))
    }


def top_k(ranks: np.ndarray, groups: np.ndarray, seed: int) -> dict[str, Any]:
    """Return top-1, top-3 and top-10 accuracy; see `micro_and_macro`."""
    return {f"top{k}": micro_and_macro((ranks <= k) * 1.0, groups, seed) for k in (1, 3, 10)}


def calibration(kept: Mapping[str, np.ndarray], groups: np.ndarray) -> dict[str, float]:
    """Return the NLL of the answers that the catalogue has, and the ECE of all cases.

    Both are means over groups. The ECE has ten bins of equal mass.
    """
    weights = 1 / np.bincount(groups)[groups]
    known = np.isfinite(kept["logps"])
    nll = -np.average(kept["logps"][known], weights=weights[known])
    hits, confidence = kept["ranks"] <= 1, kept["confidence"]
    bins = equal_mass_bins(confidence, BINS, weights)
    gaps = np.bincount(bins, weights * (confidence - hits), BINS)
    return {
        "nll": round(float(nll), 3),
        "ece": round(float(np.abs(gaps).sum() / weights.sum()), 4),
        "confidence": round(float(np.average(confidence, weights=weights)), 4),
    }


def chosen_strata(strata: np.ndarray, groups: np.ndarray, largest: str) -> dict[str, np.ndarray]:
    """Return (n,) per stratum whether a case is in it.

    Args:
        strata: (n,) kind of each case's answer, a position in `STRATA`.
        groups: (n,) of the cases.
        largest: id of the group with the most cases, before the limit of cases of a group.
    """
    by_kind = {name: strata == i for i, name in enumerate(STRATA) if i}
    unseen, small = np.isin(strata, UNSEEN), groups != largest
    return {
        "all": np.ones(len(strata), dtype=bool),
        **by_kind,
        "unseen": unseen,
        "unseen_without_largest": unseen & small,
    }


def summarise(work: Path, teachers: Sequence[str], seed: int, largest: str) -> dict[str, Any]:
    """Return the accuracies of every teacher, and the paired differences.

    Args:
        work: folder with the results of the folds.
        teachers: names of those to report.
        seed: of the resamples.
        largest: id of the group with the most cases.
    """
    loaded: dict[str, dict[int, Mapping[str, np.ndarray]]] = {name: {} for name in teachers}
    facts: dict[int, Any] = {}
    for fold in range(FOLDS):
        source = work / f"fold-{fold}"
        if not (source / "cases.npz").exists():
            continue
        facts[fold] = np.load(source / "cases.npz")
        for name in teachers:
            if (source / f"{name}.npz").exists():
                loaded[name][fold] = dict(np.load(source / f"{name}.npz"))

    def collect(name: str, column: str, folds: Sequence[int]) -> np.ndarray:
        return np.concatenate([loaded[name][fold][column] for fold in folds])

    def cases(folds: Sequence[int]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        strata, groups = (
            np.concatenate([facts[fold][column] for fold in folds])
            for column in ("strata", "groups")
        )
        return chosen_strata(strata, groups, largest), groups

    result: dict[str, Any] = {"teachers": {}, "differences": {}}
    for name, by_fold in loaded.items():
        if not by_fold:
            continue
        folds = sorted(by_fold)
        strata, groups = cases(folds)
        kept = {c: collect(name, c, folds) for c in ("ranks", "logps", "confidence")}
        seconds = [float(by_fold[fold]["seconds"]) for fold in folds]
        result["teachers"][name] = {
            "folds": folds,
            "fit_seconds": round(float(np.median(seconds)), 1),
            "strata": {
                stratum: {"n": int(rows.sum())} | top_k(kept["ranks"][rows], groups[rows], seed)
                for stratum, rows in strata.items()
                if rows.any()
            },
            "calibration": calibration(kept, np.unique(groups, return_inverse=True)[1]),
        }
    for better, other in PAIRS:
        folds = sorted(loaded.get(better, {}).keys() & loaded.get(other, {}).keys())
        if not folds:
            continue
        strata, groups = cases(folds)
        a, b = (collect(name, "ranks", folds) for name in (better, other))
        result["differences"][f"{better} - {other}"] = {
            "folds": folds,
            "strata": {
                stratum: {
                    f"top{k}": micro_and_macro(
                        (a <= k)[rows] * 1.0 - (b <= k)[rows], groups[rows], seed
                    )
                    for k in (1, 3, 10)
                }
                for stratum, rows in strata.items()
                if stratum in DIFFERENCES and rows.any()
            },
        }
    return result


def provenance(seed: int) -> dict[str, Any]:
    """Return hardware, versions, seed and day of a result."""
    return {
        "hardware": hardware(),
        "versions": package_versions() | {"ontology": load_ontology().version},
        "seed": seed,
        "date": time.strftime("%Y-%m-%d"),
    }


def earlier(file: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an earlier result says of `stacked`, and of teachers that were not fitted now.

    Args:
        file: result of the same cases and seed.
        result: of now.

    Raises:
        ValueError: the earlier result has another seed, or other numbers of folds or cases.
    """
    known = json.loads(file.read_text(encoding="utf-8"))
    same = ("seed", "folds", "max_cases_per_group")
    if [known[name] for name in same] != [result[name] for name in same]:
        raise ValueError(f"{file}: expected the result of the same folds, found other settings")
    kept = {
        name: measured
        for name, measured in known["teachers"].items()
        if name == "stacked" or name not in result["teachers"]
    }
    differences = {
        name: measured
        for name, measured in known["differences"].items()
        if name not in result["differences"]
    }
    facts = {name: known[name] for name in ("date", "hardware")}
    return facts | {"teachers": kept, "differences": differences}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=Path, required=True, help="release ZIP or folder")
    parser.add_argument("--publications", type=Path, required=True, help="one PMID a line")
    parser.add_argument("--work", type=Path, required=True, help="folder of what is kept")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--teachers", nargs="+", choices=TEACHERS, default=list(TEACHERS))
    parser.add_argument("--folds", nargs="+", type=int, default=list(range(FOLDS)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--earlier", type=Path, help="result of the same folds to keep beside it")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cases = read_cases(options.cases)
    named = load_annotations(read_publications(options.publications))
    for fold in options.folds:
        run_fold(cases, fold, options, named)
    (largest, _), *_ = Counter(case["group_id"] for case in cases).most_common(1)
    result: dict[str, Any] = {
        **provenance(options.seed),
        "folds": FOLDS,
        "max_cases_per_group": CAP,
        **summarise(options.work, TEACHERS, options.seed, largest),
    }
    if options.earlier:
        result["earlier"] = earlier(options.earlier, result)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
