"""Tables of docs/results.md and README.md, written from the committed results.

python benchmarks/results_tables.py          # rewrite both
python benchmarks/results_tables.py --check  # fail where one of them differs
"""

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tables import campaigns, notes, runs, serving, teachers, training

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "docs" / "results.md", ROOT / "README.md")

# The table of each section of a page; a section without an entry shows the run of its name.
SECTIONS: dict[str, Callable[[], str]] = {
    "teacher": teachers.teacher_section,
    "held_out": teachers.held_out_section,
    "tissue_teacher": teachers.tissue_teacher_section,
    "note_findings": notes.note_findings_section,
    "throughput": training.throughput_section,
    "curves": training.curves_section,
    "rank_scaling": training.rank_section,
    "tune_demo": partial(campaigns.campaign_section, "tune_demo"),
    "tuned_student": campaigns.tuned_section,
    "serve_load": serving.serve_load_section,
    "serve_faults": serving.serve_faults_section,
}


def render(text: str) -> str:
    """Return the text of a page with every results section renewed."""

    def renew(match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith("tissue_claim"):
            body = runs.claim_section(name)
        else:
            body = SECTIONS[name]() if name in SECTIONS else runs.section(name)
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
