"""Knowledge about the diseases of held-out published patients, in counts.

    python benchmarks/held_out_cases.py --cases phenopackets.zip \
        --publications publications.txt --out benchmarks/results/held_out_cases.json

The split is that of `teacher_accuracy.py`. Among the test cases whose disease no training case has,
the script counts those whose disease still has annotations after the publications of the file are
left out. It also draws test cases for the language models as `configs/phenopackets.yaml` does, and
compares the sizes of their groups with those of all test cases.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from mint_ray.cases.patients.phenopackets import read_phenopackets
from mint_ray.cases.schema import CASE_SCHEMA, Case, ParsedCase
from mint_ray.cases.splits import assign_splits, join_groups
from mint_ray.config.load import load_config
from mint_ray.evaluation.case_sample import choose_cases
from mint_ray.knowledge.annotations import Annotations, load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue, build_catalogue
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.pipeline.manifest import package_versions

CONFIG = Path(__file__).parents[1] / "configs" / "phenopackets.yaml"


def fate(case: Case, catalogue: Catalogue, annotations: Annotations) -> str:
    """Classify a case as `not_in_catalogue`, `annotated` or `without_annotations`."""
    index = catalogue.index_of(case["label_id"] or "")
    if index is None:
        return "not_in_catalogue"
    has_annotations = bool(annotations.of(*catalogue.label(index).ids))
    return "annotated" if has_annotations else "without_annotations"


def sizes(groups: Iterable[str]) -> dict[str, int]:
    """Return the numbers of cases and groups, and the size of the largest group."""
    count = Counter(groups)
    return {"cases": count.total(), "groups": len(count), "largest_group": max(count.values())}


def measure(path: Path, publications: Path) -> dict[str, Any]:
    """Split the cases and count them.

    Args:
        path: phenopacket release, a ZIP file or a folder.
        publications: file with one PMID per line.
    """
    config = load_config(CONFIG)
    parsed = [c for c in read_phenopackets(path, load_ontology()) if isinstance(c, ParsedCase)]
    cases = assign_splits(
        join_groups([c.case for c in parsed]),
        config.cases.validation_fraction,
        config.cases.test_fraction,
        config.seed,
    )
    annotations = load_annotations(read_publications(publications))
    trained = {
        c["label_id"]: c["label_name"] or c["label_id"]
        for c in cases
        if c["split"] == "train" and c["label_id"]
    }
    catalogue = build_catalogue(annotations, trained, config.knowledge.namespace, "all")
    test = [c for c in cases if c["split"] == "test"]
    unseen = [c for c in test if not c["seen"]]
    drawn = choose_cases(
        pa.Table.from_pylist(cases, CASE_SCHEMA),
        config.evaluation.max_cases,
        config.seed,
        max_per_group=config.evaluation.group_limit(config.task),
    )
    return {
        "versions": package_versions(),
        "seed": config.seed,
        "labels": len(catalogue),
        "test": sizes(c["group_id"] for c in test),
        "drawn": sizes(drawn["group_id"].to_pylist()),
        "unseen": {
            "cases": len(unseen),
            **Counter(fate(case, catalogue, annotations) for case in unseen),
        },
    }


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=Path, required=True, help="release ZIP or folder")
    parser.add_argument("--publications", type=Path, required=True, help="one PMID a line")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    text = json.dumps(measure(options.cases, options.publications), indent=1)
    options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
