"""Clinical notes written from a case's HPO terms, age and sex.

A note is deterministic for a case and a seed. Between cases, openings, the order of the body
systems and the wording of each sentence are chosen at random. A note has no headings and no
HP ids, and its wording does not depend on the disease.
"""

import random
from collections.abc import Iterable, Sequence

from mint_ray.cases.patients.note_phrases import (
    Person,
    describe_person,
    finding_phrase,
    listing,
    with_article,
)
from mint_ray.cases.schema import Case
from mint_ray.common.seeds import stable_seed
from mint_ray.config.cases import CasesConfig
from mint_ray.images.faces.render import rendered_terms
from mint_ray.knowledge.ontology import Ontology

_SHORT = 3  # most findings of an opening sentence
_LONG = 6  # most findings of any sentence

# Branches of the ontology with sentences for them. A term of several goes to the first.
_SYSTEMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("HP:0002664", ("{She} had developed {items}.", "The tumor history included {items}.")),
    (
        "HP:0001197",
        (
            "The pregnancy and birth were notable for {items}.",
            "The prenatal and birth history included {items}.",
        ),
    ),
    ("HP:0001507", ("Growth was notable for {items}.", "Assessment of growth showed {items}.")),
    (
        "HP:0000152",
        (
            "On examination, craniofacial features included {items}.",
            "Examination of the head and face showed {items}.",
            "Facial and cranial features were notable for {items}.",
        ),
    ),
    ("HP:0000478", ("Eye examination showed {items}.", "Ophthalmological findings were {items}.")),
    (
        "HP:0000598",
        ("Assessment of the ears and hearing showed {items}.", "Otological findings were {items}."),
    ),
    (
        "HP:0000707",
        (
            "Neurologically, {she} had {items}.",
            "The neurological and developmental history included {items}.",
            "{Her} neurological and developmental assessment showed {items}.",
        ),
    ),
    (
        "HP:0025031",
        (
            "Gastrointestinal findings included {items}.",
            "{Her} abdominal history included {items}.",
        ),
    ),
    (
        "HP:0001626",
        (
            "Cardiovascular evaluation showed {items}.",
            "Cardiac and vascular work-up found {items}.",
        ),
    ),
    (
        "HP:0002086",
        ("Respiratory findings included {items}.", "Respiratory assessment showed {items}."),
    ),
    (
        "HP:0000119",
        ("Genitourinary findings included {items}.", "Genitourinary assessment showed {items}."),
    ),
    ("HP:0000818", ("Endocrine evaluation showed {items}.", "Endocrine findings were {items}.")),
    (
        "HP:0001939",
        ("Laboratory and metabolic studies showed {items}.", "Metabolic work-up found {items}."),
    ),
    ("HP:0001871", ("Hematological findings included {items}.", "The blood work showed {items}.")),
    (
        "HP:0002715",
        ("Immunological findings included {items}.", "Immune evaluation showed {items}."),
    ),
    (
        "HP:0040064",
        ("Examination of the limbs showed {items}.", "The limbs were notable for {items}."),
    ),
    (
        "HP:0033127",
        (
            "Musculoskeletal examination showed {items}.",
            "Skeletal and muscular findings included {items}.",
        ),
    ),
    (
        "HP:0001574",
        (
            "Examination of skin, hair and nails showed {items}.",
            "Skin, hair and nails were notable for {items}.",
        ),
    ),
    ("HP:0001608", ("The voice was notable for {items}.",)),
    ("HP:0025142", ("General symptoms included {items}.",)),
    ("HP:0000118", ("Further findings included {items}.", "Other findings included {items}.")),
)
_OPENINGS = (
    "This {noun} was referred for genetic evaluation.",
    "{A_noun} was seen in the genetics clinic.",
    "The patient is {a_noun} who was referred for assessment.",
    "{A_noun} was assessed for a suspected genetic condition.",
)
_SHORT_OPENINGS = (
    "{A_noun} presented with {items}.",
    "This {noun} was referred because of {items}.",
    "{A_noun} was seen in the genetics clinic with {items}.",
)
_EXCLUDED = (
    "There was no evidence of {items}.",
    "{She} did not have {items}.",
    "There was no history of {items}.",
)
# A finding that is itself a lack of something would make "no evidence of" a double negation.
_LACKS = ("absen", "lack", "loss of", "no ", "inability", "unable", "decreased", "reduced")


def write_note(case: Case, ontology: Ontology, config: CasesConfig, seed: int) -> str:
    """Write the note of a case: `terms`, then some `excluded_terms`, within `config`'s limits.

    If only the image shows the face, findings that a face would show are not stated as excluded
    either: the image shows their absence. Where a report states the findings of the laboratory,
    they have left the terms before. Ids that the ontology does not have are left out.
    """
    rng = random.Random(stable_seed(seed, "note", case["case_id"]))
    observed = [t for t in case["terms"] if t in ontology.index][: config.note_max_terms]
    person = describe_person(case["sex"], case["age"])
    elsewhere = _shown_elsewhere(case, config)
    sentences = _observed_sentences(observed, elsewhere, person, ontology, rng)
    room = min(config.note_excluded_terms, config.note_max_terms - len(observed))
    excluded = _statable(case["excluded_terms"], ontology, config)
    if room > 0 and excluded:
        chosen = sorted(rng.sample(range(len(excluded)), min(room, len(excluded))))
        sentences += _excluded_sentences([excluded[i] for i in chosen], person, ontology, rng)
    return " ".join(sentences)


def _shown_elsewhere(case: Case, config: CasesConfig) -> str:
    """Return what shows findings that the note does not state, or ""."""
    if config.modalities == "face_only_in_image" and case["face_terms"]:
        return "appearance"
    if config.modalities == "laboratory_in_report" and case["description"]:
        return "laboratory report"
    return ""


def _statable(terms: Iterable[str], ontology: Ontology, config: CasesConfig) -> list[str]:
    known = [term for term in terms if term in ontology.index]
    if config.modalities != "face_only_in_image":
        return known
    shown = set(rendered_terms(known, ontology))
    return [term for term in known if term not in shown]


def _observed_sentences(
    terms: Sequence[str], elsewhere: str, person: Person, ontology: Ontology, rng: random.Random
) -> list[str]:
    if not terms:
        no_further = f"No further findings are recorded besides {{her}} {elsewhere}."
        closing = no_further if elsewhere else "No findings are recorded."
        return [_fill(rng.choice(_OPENINGS), person), _fill(closing, person)]
    if len(terms) <= _SHORT:
        items = listing(_shuffled([finding_phrase(ontology.name(t)) for t in terms], rng))
        return [_fill(rng.choice(_SHORT_OPENINGS), person, items)]
    groups = _by_system(terms, ontology)
    order = list(groups)
    if rng.random() < 0.5:  # the most affected system first, as a referral letter often does
        order.sort(key=lambda system: -len(groups[system]))
    sentences = [_fill(rng.choice(_OPENINGS), person)]
    for system in order:
        phrases = _shuffled([finding_phrase(ontology.name(t)) for t in groups[system]], rng)
        template = rng.choice(_SYSTEMS[system][1])
        sentences.append(_fill(template, person, listing(phrases[:_LONG])))
        for start in range(_LONG, len(phrases), _LONG):
            items = listing(phrases[start : start + _LONG])
            sentences.append(_fill("{She} also had {items}.", person, items))
    return sentences


def _excluded_sentences(
    terms: Sequence[str], person: Person, ontology: Ontology, rng: random.Random
) -> list[str]:
    phrases = [finding_phrase(ontology.name(term)) for term in terms]
    lacks = [phrase for phrase in phrases if phrase.startswith(_LACKS)]
    plain = [phrase for phrase in phrases if phrase not in lacks]
    sentences = []
    if plain:
        sentences.append(_fill(rng.choice(_EXCLUDED), person, listing(plain, "or")))
    if lacks:
        sentences.append(_fill("Looked for and not found: {items}.", person, listing(lacks)))
    return sentences


def _by_system(terms: Iterable[str], ontology: Ontology) -> dict[int, list[str]]:
    """Group terms by index in `_SYSTEMS`, in that order; the last one takes all unmatched terms."""
    groups: dict[int, list[str]] = {}
    for term in terms:
        lineage = ontology.ancestors(term)
        fitting = (i for i, (branch, _) in enumerate(_SYSTEMS) if branch in lineage)
        groups.setdefault(next(fitting, len(_SYSTEMS) - 1), []).append(term)
    return dict(sorted(groups.items()))


def _fill(template: str, person: Person, items: str = "") -> str:
    a_noun = with_article(person.noun)
    return template.format(
        noun=person.noun,
        a_noun=a_noun,
        A_noun=_capital(a_noun),
        she=person.subject,
        She=_capital(person.subject),
        her=person.possessive,
        Her=_capital(person.possessive),
        items=items,
    )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _shuffled(items: list[str], rng: random.Random) -> list[str]:
    return rng.sample(items, len(items))
