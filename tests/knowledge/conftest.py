import pytest

from mint_ray.knowledge.annotations import Annotations, Row
from mint_ray.knowledge.notes.findings import FindingReader, load_reader
from mint_ray.knowledge.ontology import load_ontology

NAN = float("nan")


@pytest.fixture(scope="session")
def reader() -> FindingReader:
    """The reader of notes, which takes a second to build."""
    return load_reader(load_ontology())


@pytest.fixture
def annotations():
    """Five invented diseases in two namespaces, two of which have the same name."""
    rows = {
        "OMIM:900001": [Row("HP:0001250", 3, 4, NAN, False, None, "PMID:1")],
        "ORPHA:91": [
            Row("HP:0001250", 0, 0, 0.17, False, None, "ORPHA:91"),
            Row("HP:0001263", 0, 0, 0.895, False, None, "ORPHA:91"),
        ],
    }
    diseases = {
        "OMIM:900001": "Amber-Bole syndrome",
        "OMIM:900002": "Copperfield's dysplasia; CFD",
        "OMIM:900003": "Twin disorder",
        "OMIM:900004": "Twin  Disorder",
        "ORPHA:91": "amber bole syndrome",
        "ORPHA:92": "Twin disorder",
        "ORPHA:93": "Lonely disease",
    }
    genes = {"OMIM:900001": ("GENA",), "ORPHA:91": ("GENB",)}
    return Annotations(rows, diseases, {"OMIM:900001": ("Amber disease",)}, genes)
