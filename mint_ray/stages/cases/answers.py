"""Answers other than diseases: causative genes (`task: gene`), or a user's own (`task: own`)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mint_ray.cases.patients.answer_leak import names_of_answer
from mint_ray.cases.schema import SIMULATED, Case, ParsedCase
from mint_ray.config.config import Config
from mint_ray.knowledge.annotations import load_annotations
from mint_ray.knowledge.catalogue import Catalogue, build_catalogue, read_answers
from mint_ray.knowledge.grounding import Grounder
from mint_ray.knowledge.release import Release
from mint_ray.retrieval.genes import GeneLookup, gene_catalogue, read_gene_names

OF_DISEASES = ("without_label", "unread_labels", "several_diseases")
"""Counts of reading a label as a disease, which mean nothing for a user's own answers."""


def open_answers(config: Config, release: Release) -> Catalogue | None:
    """Return the catalogue of genes or of a user's answers; None if the answers are diseases.

    Raises:
        DataError: a table that a setting names cannot be read.
    """
    if config.task == "gene":
        more = config.knowledge.more_names
        return gene_catalogue(release, read_gene_names(more) if more else None)
    if config.task == "own":
        return read_answers(Path(str(config.cases.answers)), release)
    return None


def relabel(parsed: Sequence[ParsedCase], answers: Catalogue, config: Config) -> list[ParsedCase]:
    """Return the cases with answers of a catalogue for labels.

    Of genes, former symbols and spaces do not matter: "CDK 10" is CDK10. The gene of a simulated
    patient is that of the disease, if it has one gene only. What names the disease stays forbidden
    in the note. Own answers are found by id, name or synonym.

    Counts of genes: `without_gene` (the source names none), `unknown_genes` (none of those it names
    is in the catalogue), `several_genes`. Counts of own answers: `without_answer`,
    `unknown_answers`. Such cases have no known answer.

    Args:
        parsed: cases as they were read.
        answers: catalogue of `open_answers`.
        config: of the run.
    """
    if config.task == "own":
        names = Grounder(answers)
        return [_to_own(item, answers, names) for item in parsed]
    annotations = load_annotations(release=answers.release)
    namespace = config.knowledge.namespace
    diseases = build_catalogue(annotations, {}, namespace, "all", answers.release)
    lookup = GeneLookup(answers)
    return [_to_gene(item, answers, lookup, diseases) for item in parsed]


def _to_gene(
    item: ParsedCase, genes: Catalogue, lookup: GeneLookup, diseases: Catalogue
) -> ParsedCase:
    stated = item.genes
    index = diseases.index_of(item.case["label_id"] or "")
    if item.case["source"] == SIMULATED and index is not None:
        stated = diseases.label(index).genes
    found = {gene for gene in map(lookup.find, stated) if gene is not None}
    counts = Counter(item.counts)
    counts["without_gene"] += not stated
    counts["unknown_genes"] += bool(stated) and not found
    counts["several_genes"] += len(found) > 1
    label_id = found.pop() if len(found) == 1 else None
    forbidden = (*item.forbidden, *names_of_answer(item.case, item.forbidden, diseases))
    return _labelled(item, genes, label_id, forbidden, counts)


def _to_own(item: ParsedCase, answers: Catalogue, names: Grounder) -> ParsedCase:
    by_id = (text for text in item.stated if answers.index_of(text) is not None)
    by_name = filter(None, map(names.ground, item.stated))
    label_id = next(by_id, None) or next(by_name, None)
    counts = Counter({kind: n for kind, n in item.counts.items() if kind not in OF_DISEASES})
    counts["without_answer"] += not item.stated
    counts["unknown_answers"] += bool(item.stated) and label_id is None
    return _labelled(item, answers, label_id, item.forbidden, counts)


def _labelled(
    item: ParsedCase,
    answers: Catalogue,
    label_id: str | None,
    forbidden: Iterable[str],
    counts: Counter[str],
) -> ParsedCase:
    index = answers.index_of(label_id or "")
    label = None if index is None else answers.label(index)
    case: Case = {
        **item.case,
        "label_id": None if label is None else label.label_id,
        "label_name": None if label is None else label.name,
    }
    return ParsedCase(case, tuple(sorted(set(forbidden))), +counts, item.genes, item.stated)


def in_scope(answers: Catalogue, cases: Iterable[Case], config: Config) -> Catalogue:
    """Return all answers, or those of training cases only, as `knowledge.labels` says."""
    if config.knowledge.labels == "all":
        return answers
    trained = {case["label_id"] for case in cases if case["split"] == "train"}
    kept = (label for label in answers.labels if label.label_id in trained)
    return Catalogue(kept, answers.release)
