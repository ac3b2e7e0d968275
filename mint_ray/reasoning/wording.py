"""Words of the questions, for diseases and for genes."""

from dataclasses import dataclass

from mint_ray.reasoning.protocols import FINAL
from mint_ray.tasks.task import DISEASE

LIST_LENGTH = 10
"""Names that are asked for; names beyond are not read."""

# The groups that question 1 sorts findings into: the branches of the ontology below "Phenotypic
# abnormality", with the names in use in clinics.
SYSTEMS = (
    "Blood and blood-forming tissues",
    "Breast",
    "Cardiovascular system",
    "Cellular phenotype",
    "Constitutional symptoms",
    "Digestive system",
    "Ear",
    "Endocrine system",
    "Eye",
    "Genitourinary system",
    "Growth",
    "Head and neck",
    "Immune system",
    "Limbs",
    "Metabolism and homeostasis",
    "Musculoskeletal system",
    "Neoplasm",
    "Nervous system",
    "Prenatal development and birth",
    "Respiratory system",
    "Skin, hair and nails",
    "Thoracic cavity",
    "Voice",
    "Unclassified",
)


@dataclass(frozen=True)
class Wording:
    """Words of one task.

    Attributes:
        task: its name.
        system: system message.
        header: first line of the list.
        item: what one line of the list holds, in the singular.
        items: the same in the plural.
        steps: questions 1 to 4.
    """

    task: str
    system: str
    header: str
    item: str
    items: str
    steps: tuple[str, str, str, str]

    def question(self, number: int) -> str:
        """Return the words of question 1 to 5.

        Raises:
            ValueError: there is no such question.
        """
        if number == FINAL:
            return (
                f"List EXACTLY {LIST_LENGTH} {self.items}, most likely first, as a numbered list "
                f"under the header {self.header} with lines such as 1. '{self.item}'. "
                "No explanations."
            )
        if not 1 <= number <= len(self.steps):
            raise ValueError(f"expected question 1 to {FINAL}, found {number}")
        return self.steps[number - 1]


_FINDINGS = (
    "Which phenotypic findings does the note state? Name the HPO term of each and sort them by "
    f"body system: {'; '.join(SYSTEMS)}. Only what is stated explicitly counts; add nothing that "
    "you infer."
)

DISEASE_WORDING = Wording(
    "disease",
    DISEASE.system,
    DISEASE.header,
    "Disease",
    "possible rare diseases",
    (
        _FINDINGS,
        "How do age, age at onset, sex and ancestry, as far as they are stated, change which rare "
        "diseases are likely?",
        "Which groups of rare diseases explain several of the findings together? Say for each "
        "group which findings it explains.",
        "Narrow these groups down to single diseases by the severity of the findings, by the "
        "inheritance, and by features that set one disease apart from another.",
    ),
)

GENE_WORDING = Wording(
    "gene",
    "You are a geneticist. You name the genes whose variants best explain a patient's findings.",
    "POTENTIAL_GENES:",
    "SYMBOL",
    "possible causative genes, by their HGNC symbols",
    (
        _FINDINGS,
        "How do age, age at onset, sex and ancestry, as far as they are stated, and the pattern of "
        "inheritance change which genes are likely?",
        "Which genes are known to cause diseases with several of these findings? Say for each gene "
        "which findings its pathogenic variants explain.",
        "Narrow these genes down by the inheritance, by the functional impact of their pathogenic "
        "variants, by the severity of the findings, and by features that set one gene apart from "
        "another.",
    ),
)

WORDINGS = {wording.task: wording for wording in (DISEASE_WORDING, GENE_WORDING)}
"""Wordings by task."""
