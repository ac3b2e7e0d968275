"""The table of genes, and what symbols mean."""

from pathlib import Path

import pytest

from mint_ray.errors import DataError
from mint_ray.knowledge.annotation_files import load_gene_table
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.retrieval.genes import (
    FurtherNames,
    GeneLookup,
    former_symbols,
    gene_catalogue,
    read_gene_names,
)


@pytest.fixture(scope="module")
def genes() -> Catalogue:
    """Genes of the packaged annotations."""
    return gene_catalogue()


@pytest.fixture(scope="module")
def lookup(genes: Catalogue) -> GeneLookup:
    """Their symbols."""
    return GeneLookup(genes)


def symbol(genes: Catalogue, found: str | None) -> str | None:
    index = genes.index_of(found or "")
    return None if index is None else genes.names[index]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("FBN1", "FBN1"),
        ("fbn1", "FBN1"),
        ("CDK 10", "CDK10"),
        ("C10orf2", "TWNK"),
        ("SPG20", "SPART"),
        ("VARS", "VARS1"),
        ("VARS1", "VARS1"),
        ("NKX2‐5", "NKX2-5"),  # with a typographic hyphen
        ("NKX25", "NKX2-5"),
        ("MTTP", "MTTP"),
        ("MT-TP", "MT-TP"),
        ("NCBIGene:7407", "VARS1"),
        ("NOGENE1", None),
        ("", None),
    ],
)
def test_a_symbol_means_a_gene(
    genes: Catalogue, lookup: GeneLookup, written: str, meant: str | None
) -> None:
    assert symbol(genes, lookup.find(written)) == meant


def test_former_symbols_lead_to_annotated_genes_and_are_none_themselves() -> None:
    symbols = set(load_gene_table()["symbol"].to_pylist())
    assert set(former_symbols().values()) <= symbols
    assert not set(former_symbols()) & symbols


def test_further_names_join_unless_they_are_ambiguous() -> None:
    more = {
        "FBN1": FurtherNames(("HGNC:3603",), ("FIBRILLIN", "FBN2", "SHARED")),
        "TTN": FurtherNames((), ("SHARED",)),
    }
    genes = gene_catalogue(more=more)
    lookup = GeneLookup(genes)
    assert symbol(genes, lookup.find("Fibrillin")) == "FBN1"
    assert symbol(genes, lookup.find("HGNC:3603")) == "FBN1"
    assert symbol(genes, lookup.find("FBN2")) == "FBN2"
    assert lookup.find("SHARED") is None


def test_the_committees_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "hgnc_complete_set.txt"
    path.write_text(
        "hgnc_id\tsymbol\talias_symbol\tprev_symbol\n"
        "HGNC:1160\tTWNK\tTWINKLE|TWINL\tC10orf2\n"
        "HGNC:3603\tFBN1\t\t\n",
        encoding="utf-8",
    )
    assert read_gene_names(path) == {
        "TWNK": FurtherNames(("HGNC:1160",), ("TWINKLE", "TWINL", "C10orf2")),
        "FBN1": FurtherNames(("HGNC:3603",), ()),
    }


@pytest.mark.parametrize("content", ["gene,id\nFBN1,1\n", "\0\xff"])
def test_a_table_without_symbols_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "genes.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match="expected a"):
        read_gene_names(path)
