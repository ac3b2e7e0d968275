"""Words of the questions, for diseases, for genes and for a user's own answers."""

from dataclasses import dataclass

from mint_ray.reasoning.protocols import FINAL
from mint_ray.tasks.task import DISEASE, GENE, OWN, Task

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
        task: with the system message, the line above the note, and the words of the list.
        steps: questions 1 to 4.
    """

    task: Task
    steps: tuple[str, str, str, str]

    def question(self, number: int) -> str:
        """Return the words of question 1 to 5.

        Raises:
            ValueError: there is no such question.
        """
        if number == FINAL:
            task = self.task
            return (
                f"List EXACTLY {LIST_LENGTH} {task.items}, most likely first, as a numbered list "
                f"under the header {task.header} with lines such as 1. '{task.item}'. "
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
    DISEASE,
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
    GENE,
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

OWN_WORDING = Wording(
    OWN,
    (
        "Which facts does the text state that bear on the answer? Sort them. Only what is stated "
        "explicitly counts; add nothing that you infer.",
        "How do the circumstances, such as time, place and what came before, as far as they are "
        "stated, change which answers are likely?",
        "Which groups of answers explain several of the facts together? Say for each group which "
        "facts it explains.",
        "Narrow these groups down to single answers by what sets one answer apart from another.",
    ),
)

WORDINGS = {wording.task.name: wording for wording in (DISEASE_WORDING, GENE_WORDING, OWN_WORDING)}
"""Wordings by task."""
