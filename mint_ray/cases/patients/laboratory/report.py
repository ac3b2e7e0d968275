"""Laboratory reports: findings of the laboratory, which a teacher reads beside the note.

A report is a text of a few lines that a reader of notes understands. It is a function of the
findings and the ontology: nothing is drawn at random, and no two reports differ in wording alone.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from mint_ray.cases.patients.answer_leak import find_answer
from mint_ray.cases.patients.laboratory.findings import is_laboratory
from mint_ray.cases.schema import Case
from mint_ray.knowledge.ontology import Ontology

TITLE = "Laboratory report."
_FOUND, _NOT_FOUND = "Findings", "Not found"  # headings that a reader of notes knows


def withhold_laboratory(
    case: Case, forbidden: Sequence[str], ontology: Ontology, counts: Counter[str]
) -> None:
    """Move the findings of the laboratory from a case's terms to its `description`, as a report.

    A description that is given stays before the report.

    Args:
        case: whose terms are current ids; changed.
        forbidden: strings that reveal the answer. A finding with which the report would contain
            one is neither in the terms nor in the report.
        ontology: of the terms.
        counts: receives `written_reports` and `findings_naming_the_answer`.
    """
    observed, excluded = (
        [term for term in terms if is_laboratory(term, ontology)]
        for terms in (case["terms"], case["excluded_terms"])
    )
    case["terms"] = [term for term in case["terms"] if term not in observed]
    case["excluded_terms"] = [term for term in case["excluded_terms"] if term not in excluded]
    safe = _without_answer(observed, excluded, forbidden, ontology)
    counts["findings_naming_the_answer"] += len([*observed, *excluded]) - sum(map(len, safe))
    report = write_report(*safe, ontology)
    counts["written_reports"] += bool(report)
    case["description"] = "\n".join(part for part in (case["description"], report) if part)


def write_report(observed: Iterable[str], excluded: Iterable[str], ontology: Ontology) -> str:
    """Write a report of findings in their order; "" without any.

    Names are separated by semicolons, since many contain a comma, "and" or "or".
    """
    lines = [
        f"{heading}: {'; '.join(names)}."
        for heading, terms in ((_FOUND, observed), (_NOT_FOUND, excluded))
        if (names := [ontology.name(term) for term in terms])
    ]
    return "\n".join([TITLE, *lines]) if lines else ""


def _without_answer(
    observed: Sequence[str], excluded: Sequence[str], forbidden: Sequence[str], ontology: Ontology
) -> tuple[Sequence[str], Sequence[str]]:
    """Return the findings, observed and excluded, that make a report without a forbidden string.

    A forbidden name can also arise where two findings meet, so each is tried behind the others.
    """
    if find_answer(write_report(observed, excluded, ontology), forbidden) is None:
        return observed, excluded
    found: list[str] = []
    for term in observed:
        if find_answer(write_report([*found, term], [], ontology), forbidden) is None:
            found.append(term)
    absent: list[str] = []
    for term in excluded:
        if find_answer(write_report(found, [*absent, term], ontology), forbidden) is None:
            absent.append(term)
    return found, absent
