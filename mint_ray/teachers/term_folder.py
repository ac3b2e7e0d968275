"""Catalogue and ontology in the folder of a teacher that reads terms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mint_ray.errors import TeacherError
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ontology import Ontology, load_ontology
from mint_ray.teachers.base import check_files

CATALOGUE_FILE = "catalogue.parquet"


def vocabulary_facts(ontology: Ontology) -> dict[str, Any]:
    """Return what `open_vocabulary` looks for in a teacher's manifest."""
    return {"ontology": ontology.version, "terms": len(ontology.ids)}


def open_vocabulary(folder: Path, manifest: Mapping[str, Any]) -> tuple[Catalogue, Ontology]:
    """Check the files of a fitted teacher; return its catalogue and the ontology of its terms.

    Args:
        folder: of the teacher.
        manifest: of the teacher, whose content has the `vocabulary_facts`.

    Raises:
        TeacherError: a file is damaged, or the teacher was fitted with another release of the
            ontology.
    """
    check_files(folder, manifest)
    catalogue = Catalogue.read(folder / CATALOGUE_FILE)
    content, ontology = manifest["content"], load_ontology(catalogue.release)
    fitted = (content["ontology"], content["terms"])
    present = (ontology.version, len(ontology.ids))
    if fitted != present:
        raise TeacherError(
            f"{folder}: expected ontology {fitted[0]} ({fitted[1]} terms), with which the teacher "
            f"was fitted, found {present[0]} ({present[1]} terms); install that release, or fit "
            "the teacher again"
        )
    return catalogue, ontology
