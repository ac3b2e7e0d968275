"""Tables of whole runs: systems on held-out cases, students by their teacher."""

from typing import Any

from mint_ray.evaluation.case_sample import SampledFrom
from mint_ray.evaluation.results import Metrics
from mint_ray.knowledge.release import describe_knowledge
from mint_ray.reports.evaluation.table import caption, columns_of, header, rows_of
from tables.records import machine, percent

# Names of cases and of labels, by task.
WORDS = {"disease": ("patients", "diseases"), "tissue": ("tiles", "tissues")}


def section(run: dict[str, Any]) -> str:
    """Write command, machine and table of a recorded run; empty if it is not recorded."""
    steps = run["steps"]
    minutes = sum(step["seconds"] for step in steps.values()) / 60
    strata = [s for s in ("seen", "unseen") if _size(run, s) and _size(run, s) < _size(run, "all")]
    cases, labels = WORDS[run.get("task", "disease")]
    lines = [
        f"`{run['command']}`, {machine(run)}: "
        f"{steps['cases']['rows_out']:,} {cases}, {steps['cases']['facts']['labels']:,} {labels} "
        f"in the catalogue, {steps['train']['rows_out']:,} training pairs, "
        f"{int(steps['train']['facts']['steps'])} optimizer steps, {minutes:.0f} minutes in all."
        f"{_tested(steps['evaluate']['facts'])}",
        "",
        markdown_table(run["metrics"]),
    ]
    for stratum in strata:
        lines += ["", markdown_table(run["metrics"], stratum)]
    return "\n".join(lines)


def markdown_table(metrics: Metrics, stratum: str = "all") -> str:
    """Return the comparison table in Markdown, with its caption."""
    columns = columns_of(metrics)
    titles = header(columns)
    lines = [
        caption(metrics, stratum),
        "",
        "| " + " | ".join(titles) + " |",
        "|---|" + "---:|" * (len(titles) - 1),
    ]
    lines += ["| " + " | ".join(row) + " |" for row in rows_of(metrics, stratum, columns)]
    return "\n".join(lines) + "\n"


def _tested(facts: dict[str, Any]) -> str:
    """Return a sentence on the split of the tested cases; older records do not name it."""
    text = ""
    if tested := facts.get("tested"):
        text += f" Tested: {SampledFrom(**tested).describe()}."
    if knowledge := facts.get("knowledge"):
        text += f" Knowledge: {describe_knowledge(knowledge)}."
    return text


def _size(run: dict[str, Any], stratum: str) -> int:
    systems = run["metrics"].values()
    return max((m["n"] for s in systems for m in s.get(stratum, {}).values()), default=0)


def claim_section(result: dict[str, Any]) -> str:
    """Write the accuracy of students of images by their teacher, and paired differences."""
    how = f"cross-validation over {result['folds']} parts" if result["folds"] else "one split"
    lines = [
        f"{result['cases']} held-out tiles of {result['patients']} patients, "
        f"{len(result['labels'])} tissues, {how}; {machine(result)}.",
        "",
        "| System | Tile top-1 % | Patient top-1 % | Balanced accuracy % | Macro-F1 % |",
        "|---|---:|---:|---:|---:|",
    ]
    for system, strata in result["metrics"].items():
        overall = strata["all"]
        names = ("top1", "top1_by_group", "balanced_accuracy", "macro_f1")
        values = [overall.get(name) for name in names]
        cells = [percent([v["value"], v["low"], v["high"]]) if v else "–" for v in values]
        lines.append(f"| {system.replace('_', ' ')} | {' | '.join(cells)} |")
    lines += ["", "| Difference in tile top-1, paired | points |", "|---|---:|"]
    for d in result["differences"]:
        if d["metric"] == "top1":
            title = f"{d['first']} − {d['second']}".replace("_", " ")
            lines.append(f"| {title} | {percent([d['value'], d['low'], d['high']])} |")
    return "\n".join(lines)
