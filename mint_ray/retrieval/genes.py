"""Genes of the knowledge base with their former symbols, as a catalogue of answers.

The packaged files know the symbol and the NCBI id of a gene only. `former_symbols.json` adds
symbols that reports still use although the HUGO committee has replaced them (C10orf2, SPG20, VARS).
It is a selection; the committee's own table (https://www.genenames.org/download) has all of them,
and HGNC ids, and can be read with `read_gene_names`.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mint_ray.common.tables.rows import read_rows
from mint_ray.knowledge.annotation_files import load_gene_table
from mint_ray.knowledge.catalogue import Catalogue, Label
from mint_ray.knowledge.release import PACKAGED, Release

_FORMER = Path(__file__).with_name("former_symbols.json")
_ALIAS_COLUMNS = ("aliases", "alias_symbol", "prev_symbol")
_SEPARATORS = re.compile(r"[|;,]")


@dataclass(frozen=True)
class FurtherNames:
    """Further ids and symbols of one gene, from a table.

    Attributes:
        ids: further ids, such as "HGNC:12651".
        aliases: other symbols.
    """

    ids: tuple[str, ...] = ()
    aliases: tuple[str, ...] = field(default=())


def former_symbols() -> dict[str, str]:
    """Return former symbol -> symbol in use, of the selection that the package carries."""
    content: dict[str, str] = json.loads(_FORMER.read_text(encoding="utf-8"))
    return content


class GeneLookup:
    """Lookup of genes by symbols in use and other symbols, in any case and with spaces.

    "CDK 10" is CDK10. Hyphens may be left out or added where only one gene is then meant: MT-TP and
    MTTP are two.

    Args:
        genes: a catalogue of `gene_catalogue`.
    """

    def __init__(self, genes: Catalogue) -> None:
        spelt = {_key(label.name): label.label_id for label in genes.labels}
        spelt |= {_key(name): label.label_id for label in genes.labels for name in label.synonyms}
        self._by_spelling = spelt
        loose: dict[str, set[str]] = defaultdict(set)
        for spelling, gene in spelt.items():
            loose[_without_hyphens(spelling)].add(gene)
        self._loose = {key: found.pop() for key, found in loose.items() if len(found) == 1}
        self._ids = {any_id: label.label_id for label in genes.labels for any_id in label.ids}

    def find(self, text: str) -> str | None:
        """Return the `label_id` of the gene that a symbol or an id means, or None."""
        spelling = _key(text)
        known = self._ids.get(text.strip()) or self._by_spelling.get(spelling)
        return known or self._loose.get(_without_hyphens(spelling))


def _key(text: str) -> str:
    return re.sub(r"[\u2010-\u2015]", "-", re.sub(r"\s+", "", text)).casefold()


def _without_hyphens(spelling: str) -> str:
    return spelling.replace("-", "")


def gene_catalogue(
    release: Release = PACKAGED, more: Mapping[str, FurtherNames] | None = None
) -> Catalogue:
    """Build the catalogue of annotated genes: id of NCBI, symbol as the name, other symbols.

    An alias that is the symbol of another gene, or an alias of several, is left out: it would not
    say which gene is meant.

    Args:
        release: files to read.
        more: further names by symbol, as `read_gene_names` gives them.

    Raises:
        DataError: a file is absent or damaged, or the release has changed.
    """
    genes: dict[str, str] = {
        row["symbol"]: row["id"] for row in load_gene_table(release).to_pylist()
    }
    names = dict(more or {})
    aliases: dict[str, set[str]] = defaultdict(set)
    for former, symbol in former_symbols().items():
        aliases[symbol].add(former)
    for symbol, known in names.items():
        aliases[symbol] |= set(known.aliases)
    symbols = {_key(symbol) for symbol in genes}
    meanings: dict[str, set[str]] = defaultdict(set)
    for symbol in genes:
        for alias in aliases[symbol]:
            meanings[_key(alias)].add(symbol)
    return Catalogue(
        (
            Label(
                label_id=gene_id,
                name=symbol,
                ids=(gene_id, *names.get(symbol, FurtherNames()).ids),
                synonyms=tuple(
                    alias
                    for alias in sorted(aliases[symbol])
                    if _key(alias) not in symbols and len(meanings[_key(alias)]) == 1
                ),
                genes=(symbol,),
            )
            for symbol, gene_id in genes.items()
        ),
        release,
    )


def read_gene_names(path: Path) -> dict[str, FurtherNames]:
    """Read ids and other symbols of genes from a table, such as that of the HUGO committee.

    Args:
        path: a table with a column `symbol`. Used if present: `hgnc_id`, and `aliases`,
            `alias_symbol` and `prev_symbol` with symbols that |, ; or , separate.

    Raises:
        DataError: the file cannot be read, or has no column `symbol`.
    """
    names: dict[str, FurtherNames] = {}
    for row in read_rows(path, "genes", required=("symbol",)).rows:
        listed = (row.get(column, "") for column in _ALIAS_COLUMNS)
        found = _parts(part for text in listed for part in _SEPARATORS.split(text))
        hgnc = row.get("hgnc_id", "")
        if symbol := row.get("symbol"):
            names[symbol] = FurtherNames((hgnc,) if hgnc else (), found)
    return names


def _parts(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))
