"""Tables of docs/results.md and README.md, written from the committed results.

python benchmarks/results_tables.py          # rewrite both
python benchmarks/results_tables.py --check  # fail where one of them differs
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tables import campaigns, comparisons, notes, runs, serving, teachers, training
from tables.records import recorded

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "docs" / "results.md", ROOT / "README.md")

Write = Callable[[dict[str, Any]], str]

# Result and table of the sections of the pages; other sections are of the run with their name.
SECTIONS: dict[str, tuple[str, Write]] = {
    "teacher": ("teacher_accuracy", teachers.teacher_section),
    "disease_teachers": ("disease_teachers", teachers.disease_teachers_section),
    "note_teacher": ("note_teacher", teachers.note_teacher_section),
    "face_gain": ("face_gain", teachers.face_gain_section),
    "report_gain": ("report_gain", teachers.report_gain_section),
    "withheld_gain": ("withheld_gain", teachers.withheld_gain_section),
    "own_publications": ("own_publications", teachers.own_publications_section),
    "held_out": ("held_out_cases", teachers.held_out_section),
    "tissue_teacher": ("tissue_teacher", teachers.tissue_teacher_section),
    "note_findings": ("note_findings", notes.note_findings_section),
    "retrieval": ("retrieval", notes.retrieval_section),
    "compare_phenopackets": ("compare_phenopackets", comparisons.section),
    "compare_low_rate": ("compare_low_rate", comparisons.section),
    "compare_all_diseases": ("compare_all_diseases", comparisons.section),
    "compare_modalities": ("compare_modalities", comparisons.section),
    "compare_reasoning": ("compare_reasoning", comparisons.section),
    "compare_reasoning_larger": ("compare_reasoning_larger", comparisons.section),
    "gpu_arms": ("gpu_arms", comparisons.section),
    "gpu_throughput": ("gpu_throughput", training.gpu_throughput_section),
    "throughput": ("orpo_throughput", training.throughput_section),
    "varlen": ("varlen_attention", training.varlen_section),
    "curves": ("training_curves", training.curves_section),
    "rank_scaling": ("rank_scaling", training.rank_section),
    "tune_demo": ("tune_demo", campaigns.campaign_section),
    "tuned_student": ("tuned_student", campaigns.tuned_section),
    "serve_load": ("serve_load", serving.serve_load_section),
    "serve_faults": ("serve_faults", serving.serve_faults_section),
    "serve_catalogue": ("serve_catalogue", serving.serve_catalogue_section),
    "serve_attack": ("serve_attack", serving.serve_attack_section),
    "serve_heavy": ("serve_heavy", serving.serve_heavy_section),
    "abstention": ("abstention", serving.abstention_section),
    "interrupts": ("interrupts", serving.interrupts_section),
}


def render(text: str) -> str:
    """Return the text of a page with every results section renewed."""

    def renew(match: re.Match[str]) -> str:
        name = match[1]
        of_run = runs.claim_section if name.startswith("tissue_claim") else runs.section
        record, write = SECTIONS.get(name, (name, of_run))
        result = recorded(record)
        body = "" if result is None else write(result)
        return f"<!-- results:{name} -->\n{body}\n<!-- /results:{name} -->"

    pattern = r"<!-- results:(\w+) -->\n.*?<!-- /results:\1 -->"
    return re.sub(pattern, renew, text, flags=re.DOTALL)


def main() -> None:
    """Rewrite the pages, or check that they are current."""
    renewed = {page: render(page.read_text(encoding="utf-8")) for page in PAGES}
    if "--check" in sys.argv[1:]:
        outdated = [p.name for p, text in renewed.items() if p.read_text(encoding="utf-8") != text]
        command = "python benchmarks/results_tables.py"
        message = f"{', '.join(outdated)}: expected the tables of benchmarks/results; run {command}"
        sys.exit(message if outdated else 0)
    for page, text in renewed.items():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
