"""Sources of patients: files that are read, simulated ones, and those that are made from others."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mint_ray.cases.patients.clinical_notes.read import read_notes
from mint_ray.cases.patients.phenopackets import read_phenopackets
from mint_ray.cases.patients.recombine import recombine_cases
from mint_ray.cases.patients.renderings import render_cases
from mint_ray.cases.patients.simulate import rank_diseases, simulate_cases, simulate_training_cases
from mint_ray.cases.schema import Case, ParsedCase, RejectedCase
from mint_ray.cases.table import read_case_table
from mint_ray.config.config import Config
from mint_ray.errors import ConfigError
from mint_ray.knowledge.annotations import Annotations, load_annotations, read_publications
from mint_ray.knowledge.catalogue import Catalogue
from mint_ray.knowledge.ids import is_publication
from mint_ray.knowledge.ontology import load_ontology
from mint_ray.knowledge.release import Release


def read_patients(config: Config, release: Release) -> Iterable[ParsedCase | RejectedCase]:
    """Return the cases and rejections of the configured source."""
    settings, ontology = config.cases, load_ontology(release)
    if settings.source == "simulated":
        annotations = load_annotations(
            _listed_publications(config), release, config.knowledge.pooled_lines
        )
        simulation = settings.simulation
        ranked = rank_diseases(annotations, ontology, config.knowledge.namespace)
        diseases = simulation.disease_ids or ranked[: simulation.diseases]
        if unknown := sorted(set(diseases) - set(ranked)):
            raise ConfigError(
                f"cases.simulation.disease_ids: expected annotated {config.knowledge.namespace} "
                f"ids, found {', '.join(unknown)}"
            )
        drawn = simulate_cases(annotations, ontology, diseases, simulation, config.seed)
        return [ParsedCase(case, (), Counter()) for case in drawn]
    path = Path(str(settings.path))
    if settings.source == "phenopackets":
        return read_phenopackets(path, ontology)
    if settings.source == "notes":
        namespace = config.knowledge.namespace
        return read_notes(path, settings.note_columns, load_annotations(release=release), namespace)
    return read_case_table(path, ontology, config.knowledge.namespace)


def _listed_publications(config: Config) -> frozenset[str]:
    listed = config.knowledge.exclude_publications
    return read_publications(listed) if isinstance(listed, Path) else frozenset()


def excluded_publications(config: Config, cases: Iterable[Case]) -> frozenset[str]:
    """Return the listed publications, or those of the cases that are not trained on."""
    if config.knowledge.exclude_publications != "from_cases":
        return _listed_publications(config)
    return frozenset(
        publication
        for case in cases
        if case["split"] != "train"
        for publication in case["publications"]
        if is_publication(publication)
    )


def simulate_beside(
    cases: Sequence[Case], catalogue: Catalogue, annotations: Annotations, config: Config
) -> list[Case]:
    """Return the simulated training cases that a config adds to published ones."""
    if not config.cases.simulated_per_disease:
        return []
    drawn = simulate_training_cases(
        catalogue,
        annotations,
        load_ontology(catalogue.release),
        config.cases.simulation,
        cases,
        config.cases.simulated_per_disease,
        config.seed,
    )
    taken = {case["case_id"] for case in cases}
    return [case for case in drawn if case["case_id"] not in taken]


def make_from(
    cases: Sequence[Case], catalogue: Catalogue, annotations: Annotations, config: Config
) -> list[Case]:
    """Return the training cases that are made from those that were read."""
    settings, ontology = config.cases, load_ontology(catalogue.release)
    rendered = render_cases(cases, ontology, settings.rendering, settings.renderings, config.seed)
    recombined = recombine_cases(
        cases,
        catalogue,
        annotations,
        ontology,
        settings.recombined_per_disease,
        settings.recombined_annotation_share,
        settings.recombined_rendering,
        config.seed,
    )
    return rendered + recombined
