"""Ids of findings, diseases and publications, read from the spellings in which people write them.

Each reader returns one spelling (a CURIE such as `HP:0001250`, or `PMC123`) or nothing. None
of them guesses: what is not clearly an id of its kind is left to the caller to count.
"""

import re
import unicodedata
from urllib.parse import unquote


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_GENE_PREFIXES = _words(
    """
    HGNC HGNC.SYMBOL NCBIGENE NCBI.GENE NCBI_GENE NCBI ENTREZ ENTREZGENE ENTREZ_GENE ENSEMBL ENSG
    GENE GENEID GENE_ID UNIPROT UNIPROTKB REFSEQ MGI MIMGENE
    """
)
# Prefixes of findings, variants, inheritance and literature: an id of them is never a disease.
_OTHER_PREFIXES = _words(
    """
    HP HPO CLINVAR DBSNP GENO SO GO CHEBI LOINC MP UBERON CL PATO ECO PMID PUBMED PMC PMCID DOI
    HTTP HTTPS ORCID ISBN HSAPDV
    """
)
_DISEASE_PREFIXES = {
    "OMIM": "OMIM",
    "MIM": "OMIM",
    "OMIMPS": "OMIMPS",
    "PS": "OMIMPS",
    "ORPHA": "ORPHA",
    "ORPHANET": "ORPHA",
    "ORPHACODE": "ORPHA",
    "ORDO": "ORPHA",
    "MONDO": "MONDO",
    "DECIPHER": "DECIPHER",
    "DOID": "DOID",
}
_PADDED = {"MONDO": 7}  # digits of a namespace whose numbers have leading zeros

_TERM = re.compile(r"HPO?\s*[:_ -]\s*0*(\d{1,7})|HP(\d{7})|(\d{7})", re.IGNORECASE | re.ASCII)
_INNER_TERM = re.compile(r"HPO?[:_]?\d{7}", re.IGNORECASE | re.ASCII)
_CURRENT_TERM = re.compile(r"HP:\d{7}", re.ASCII)
_LAST_OF_IRI = re.compile(r"\S*[/#=]([^\s/#=]+)[/#]?", re.ASCII)
_KNOWN_DISEASE = re.compile(
    r"(?<![A-Za-z0-9])(OMIMPS|OMIM|MIM|PS|ORPHANET|ORPHACODE|ORPHA|ORDO|MONDO|DECIPHER|DOID)"
    r"(?:(?:\s*[:_/#%+-])+\s*|\s+|(?=\d))(?:(?:OMIM|MIM|ORPHANET|ORPHA|ORDO)[:_])?([*^#%+]?)"
    r"(PS)?(\d+)(?![A-Za-z0-9]|\.\d{4})",  # "134797.0001" is a variant
    re.IGNORECASE | re.ASCII,
)
_DISEASE_PAGE = (
    (re.compile(r"omim\.org/(?:entry/|clinicalSynopsis/)?(\d{6})", re.IGNORECASE), "OMIM"),
    (re.compile(r"omim\.org/phenotypicSeries/PS(\d{6})", re.IGNORECASE), "OMIMPS"),
    (
        re.compile(
            r"orpha\.net/\S{0,300}?(?:detail/|Expert=|Orphanet_|ORPHA:?)(\d+)", re.IGNORECASE
        ),
        "ORPHA",
    ),
)
_LISTED_OMIM = re.compile(r"(?:^|[,;|]|(?<=\d)/)\s*([1-6]\d{5})(?=\s*(?:[,;/|]|$))", re.ASCII)
_BARE_OMIM = re.compile(r"([*^#%+]?)\s*([1-6]\d{5})(?:\.0)?", re.ASCII)
_CURIE = re.compile(r"([A-Za-z][\w.]*)\s*:\s*([\w.-]+)", re.ASCII)
_REMARK = re.compile(r"\s*[(\[][^()\[\]]*[)\]]$")  # "ORPHA:558 ()", "OMIM:154700 (Marfan syndrome)"
_DENIED = re.compile(
    r"\b(?:no|not|non|without|excluded?|excluding|ruled?|unlikely|negative|versus|vs)\b",
    re.IGNORECASE,
)
_DOUBTED = re.compile(
    r"\b(?:suspect(?:ed)?|possibl[ey]|probabl[ey]|query|carrier|r/o|differential)\b"
    r"|\b(?:excluded|ruled\s+out|rule\s+out|unlikely)\b|\?\s*$",
    re.IGNORECASE,
)
_QUESTION = re.compile(r"^\s*\?|\s\?")  # "?OMIM:154700"; OMIM begins some names with the mark
_GENE_MARK, _REMOVED_MARK = "*", "^"  # of OMIM's entries
_NO_DISEASE = {_GENE_MARK, _REMOVED_MARK}

_DOI = re.compile(
    r"(?:doi(?:\.org)?\s*+(?:[:/=]\s*+)?)(10\.\d+(?:\.\d+)*/[^\s\"'<>|;]{1,300})"
    r"|(?<![\w.])(10\.\d{4,9}(?:\.\d+)*/[^\s\"'<>|;]{1,300})",
    re.IGNORECASE | re.ASCII,
)
_PAGE_OF_DOI = re.compile(r"(?:/(?:full|pdf|epdf|abstract|meta))?/?(?:[?#&].*)?$", re.IGNORECASE)
_PMID = re.compile(
    r"(?<![A-Za-z])(?:PMID|PUBMED|MEDLINE)s?(?:[\s_]*id)?[\s:_#=/.-]*(?:PMID[\s:_]*)?"
    r"(\d+(?:\s*[,;/|&]\s*(?:PMID[\s:_]*\d+|(?!(?:19|20)\d\d\b)\d+))*)",
    re.IGNORECASE | re.ASCII,
)
_PUBMED_PAGE = re.compile(
    r"(?:pubmed\.ncbi\.nlm\.nih\.gov|ncbi\.nlm\.nih\.gov/(?:m/)?pubmed)/(?:\?\w*term=)?"
    r"(?:PMID:?)?(\d+)"
    r"|ncbi\.nlm\.nih\.gov/entrez/\S{0,300}?list_uids=(\d+)"
    r"|europepmc\.org/(?:article|abstract)/med/(\d+)",
    re.IGNORECASE | re.ASCII,
)
_PMC = re.compile(
    r"(?<![A-Za-z0-9])PMC(?:ID)?[\s:_]*(?:PMC)?(\d+)(?![A-Za-z0-9])", re.IGNORECASE | re.ASCII
)


def read_term_id(text: str) -> str | None:
    """Return `HP:` and seven digits, or None.

    `hp:0001250`, `HP_0001250`, `HPO:0001250`, an IRI or page that ends in the id, seven bare
    digits, and an id without its leading zeros (`HP:1250`) are read. Whether the ontology has it
    is not asked.
    """
    if _CURRENT_TERM.fullmatch(text):  # as almost all are written
        return text
    written = _tidy(text)
    if ("/" in written or "#" in written) and len(_INNER_TERM.findall(written)) < 2:
        last = _LAST_OF_IRI.fullmatch(written)
        written = last[1] if last else written
    written = written.removeprefix("obo:").removeprefix("obo_")
    match = _TERM.fullmatch(written)
    number = next((group for group in match.groups() if group), "") if match else ""
    return f"HP:{number.zfill(7)}" if number else None


def is_short_term_id(text: str) -> bool:
    """Return whether an id of a finding was written without its leading zeros."""
    return len(re.sub(r"\D", "", text)) < 7 and read_term_id(text) is not None


def read_disease_ids(text: str) -> list[str]:
    """Return the disease ids that a text gives, in its order, each once; empty if there is none.

    OMIM, Orphanet, MONDO, DECIPHER and DOID are read in every usual spelling: `omim_154700`,
    `MIM 154700`, `#154700`, `Orphanet_558`, `ORPHA:558 ()`, pages and IRIs. Six bare digits that
    begin with 1 to 6 are OMIM's, also in a list. An id of another namespace needs a colon
    (`MINE:17`).

    Ids of genes, variants, findings and publications are not ids of diseases, nor is an OMIM number
    with the asterisk of a gene. A text that denies or doubts what it names gives nothing.
    """
    written = _tidy(text)
    if not written or _DENIED.search(written) or _QUESTION.search(written) or is_doubted(written):
        return []
    for page, prefix in _DISEASE_PAGE:
        if match := page.search(written):
            return [f"{prefix}:{match[1]}"]
    known = list(_KNOWN_DISEASE.finditer(written))
    listed = list(_LISTED_OMIM.finditer(written))
    if known or len(listed) > 1:
        ids = {match.start(1): f"OMIM:{match[1]}" for match in listed} | {
            match.start(): _curie(
                "OMIMPS" if match[3] else _DISEASE_PREFIXES[match[1].upper()], match[4]
            )
            for match in known
            if match[2] not in _NO_DISEASE
        }
        return list(dict.fromkeys(ids[start] for start in sorted(ids)))
    written = _REMARK.sub("", written)
    if bare := _BARE_OMIM.fullmatch(written):
        return [] if bare[1] in _NO_DISEASE else [f"OMIM:{bare[2]}"]
    if "/" in written:
        last = _LAST_OF_IRI.fullmatch(written)
        written = last[1] if last and ":" in last[1] else written
    match = _CURIE.fullmatch(written)
    prefix = match[1].upper() if match else ""
    if match is None or prefix in _GENE_PREFIXES | _OTHER_PREFIXES | _DISEASE_PREFIXES.keys():
        return []
    return [f"{prefix}:{match[2]}"]


def is_gene_id(text: str) -> bool:
    """Return whether a text is the id of a gene, such as `HGNC:3603` or OMIM's `*134797`."""
    written = _tidy(text)
    last = _LAST_OF_IRI.fullmatch(written) if "/" in written else None
    match = re.match(r"([A-Za-z][\w.]*)\s*[:_]\s*\S", last[1] if last else written, re.ASCII)
    if match and match[1].upper() in _GENE_PREFIXES:
        return True
    if re.search(r"/(?:gene|ncbigene|hgnc|ensembl)[/:]", written, re.IGNORECASE):
        return True
    marked = _KNOWN_DISEASE.search(written) or _BARE_OMIM.fullmatch(written)
    symbol = marked[2] if marked and marked.re is _KNOWN_DISEASE else marked[1] if marked else ""
    return symbol == _GENE_MARK or bool(re.fullmatch(r"ENSG\d+(\.\d+)?", written))


def is_doubted(text: str) -> bool:
    """Return whether a text suspects or excludes the disease that it names: "r/o Marfan syndrome".

    A question mark before a name is none: OMIM begins the names of provisional diseases with it.
    """
    return bool(_DOUBTED.search(text))


def find_publications(text: str, bare_numbers: bool = False) -> set[str]:
    """Return the publications that a text names, as `PMID:123`, `PMC123` and `DOI:10.1000/x`.

    PubMed and PMC ids are read with their prefix or from their pages, DOIs with and without a
    resolver, in any case; a DOI is given in small letters. PubMed numbers lose leading zeros.

    Args:
        text: an id, a link, or words that contain some.
        bare_numbers: take a text of digits only as a PubMed id, unless it is a year.
    """
    written = _tidy(text)
    if bare_numbers and re.fullmatch(r"(?!(?:19|20)\d\d$)\d{1,9}(?:\.0)?", written, re.ASCII):
        return _pmids(written.removesuffix(".0"))
    found: set[str] = set()
    if "10." in written:
        for match in _DOI.finditer(unquote(written)):
            found.add(f"DOI:{_without_end(match[1] or match[2]).lower()}")
        written = _DOI.sub(" ", unquote(written))
    for match in _PUBMED_PAGE.finditer(written):
        found |= _pmids(next(group for group in match.groups() if group))
    for match in _PMID.finditer(_PUBMED_PAGE.sub(" ", written)):
        found |= {pmid for number in re.findall(r"\d+", match[1]) for pmid in _pmids(number)}
    return found | {f"PMC{int(match[1])}" for match in _PMC.finditer(written)}


def is_publication(text: str) -> bool:
    """Return whether a text is a publication in the spelling of `find_publications`."""
    return find_publications(text) == {text}


def is_pubmed(publication: str) -> bool:
    """Return whether a publication of `find_publications` is given by its PubMed id."""
    return publication.startswith("PMID:")


def _pmids(number: str) -> set[str]:
    stripped = number.lstrip("0")
    return {f"PMID:{stripped}"} if 0 < len(stripped) < 10 else set()


def _without_end(doi: str) -> str:
    """Return a DOI without what follows it in a link or a sentence."""
    doi = _PAGE_OF_DOI.sub("", doi)
    while doi and (doi[-1] in ".,:" or (doi[-1] in ")]}" and not _balanced(doi))):
        doi = doi[:-1]
    return doi


def _balanced(text: str) -> bool:
    return all(text.count(a) == text.count(b) for a, b in ("()", "[]", "{}"))


def _curie(prefix: str, number: str) -> str:
    return f"{prefix}:{number.zfill(_PADDED.get(prefix, 0))}"


def _tidy(text: str) -> str:
    """Return one line in compatibility form, without quotes or angle brackets around it."""
    return " ".join(unicodedata.normalize("NFKC", text).split()).strip("\"'<>`,; ")
