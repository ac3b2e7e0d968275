"""Tables of docs/results.md and README.md, written from the committed results.

python benchmarks/results_tables.py          # rewrite both
python benchmarks/results_tables.py --check  # fail where one of them differs
"""

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from note_tables import note_findings_section

from mint_ray.evaluation.results import Metrics
from mint_ray.reports.evaluation.table import caption, columns_of, header, rows_of
from mint_ray.reports.evaluation.training_curves import PANELS
from mint_ray.tuning.trials import OUT_OF_TIME

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "docs" / "results.md", ROOT / "README.md")

# Names of cases and of labels, by task.
WORDS = {"disease": ("patients", "diseases"), "tissue": ("tiles", "tissues")}


def recorded(name: str) -> dict[str, Any] | None:
    """Read a committed result; None if there is none yet."""
    file = RESULTS / f"{name}.json"
    if not file.exists():
        return None
    result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return result


def section(name: str) -> str:
    """Write command, machine and table of a recorded run; empty if it is not recorded."""
    run = recorded(name)
    if run is None:
        return ""
    steps = run["steps"]
    minutes = sum(step["seconds"] for step in steps.values()) / 60
    strata = [s for s in ("seen", "unseen") if _size(run, s) and _size(run, s) < _size(run, "all")]
    cases, labels = WORDS[run.get("task", "disease")]
    lines = [
        f"`{run['command']}`, {_machine(run)}: "
        f"{steps['cases']['rows_out']:,} {cases}, {steps['cases']['facts']['labels']:,} {labels} "
        f"in the catalogue, {steps['train']['rows_out']:,} training pairs, "
        f"{int(steps['train']['facts']['steps'])} optimizer steps, {minutes:.0f} minutes in all.",
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


def teacher_section() -> str:
    """Write the teacher's accuracy on held-out publications."""
    result = recorded("teacher_accuracy")
    if result is None:
        return ""
    lines = [
        "| modalities | diseases | cases | Top-1 % | Top-3 % | Top-10 % |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for setting, measured in result["settings"].items():
        for stratum, row in measured["test"].items():
            cells = [_percent(row[name]) for name in ("top1", "top3", "top10")]
            name = "all" if stratum == "all" else f"{stratum} in training"
            words = setting.replace("_", " ")
            lines.append(f"| {words} | {name} | {row['n']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def held_out_section() -> str:
    """Write what is known of held-out diseases, and the sizes of the drawn groups of cases."""
    result = recorded("held_out_cases")
    if result is None:
        return ""
    unseen, drawn, whole = result["unseen"], result["drawn"], result["test"]
    titles = {
        "annotated": "in the catalogue, some annotations left",
        "without_annotations": "in the catalogue, no annotation left",
        "not_in_catalogue": "not in the catalogue",
    }
    lines = [
        "| disease of an unseen held-out case | cases | share |",
        "|---|---:|---:|",
        *(
            f"| {title} | {unseen[name]:,} | {unseen[name] / unseen['cases']:.0%} |"
            for name, title in titles.items()
        ),
        f"| all | {unseen['cases']:,} | 100% |",
        "",
        "| held-out cases | cases | groups | mean size of a group | largest |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {title} | {part['cases']:,} | {part['groups']} | "
            f"{part['cases'] / part['groups']:.1f} | {part['largest_group']} |"
            for title, part in (("all", whole), ("drawn for the language models", drawn))
        ),
    ]
    return "\n".join(lines)


def throughput_section() -> str:
    """Write pairs per second and peak memory of ours and of TRL's trainer."""
    result = recorded("orpo_throughput")
    if result is None:
        return ""
    machine, versions = result["hardware"], result["versions"]
    lines = [
        f"{machine['threads']} threads of {machine['cpu']}, {result['model']} model, float32, "
        f"LoRA of rank 16; TRL {versions['trl']}, torch {versions['torch']}.",
        "",
        "| prompt / answer | batch | likelihood on | TRL pairs/s | ours pairs/s | ratio | bound "
        "| TRL MiB | ours MiB | ratio |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for shape in result["shapes"]:
        peer = shape["trl"]
        for name, words in (("prompt_and_chosen", "prompt and chosen"), ("chosen", "chosen")):
            ours = shape[name]
            lines.append(
                f"| {shape['prompt']} / {shape['completion']} | {shape['batch']} | {words} "
                f"| {peer['pairs_per_s']:.2f} | {ours['pairs_per_s']:.2f} | {ours['ratio']:.2f} "
                f"| {ours['bound']:.2f} | {peer['peak_mb']:,.0f} | {ours['peak_mb']:,.0f} "
                f"| {ours['memory_ratio']:.2f} |"
            )
    return "\n".join(lines)


def curves_section() -> str:
    """Write ORPO's metrics by epoch, beside the published values of the released run."""
    result = recorded("training_curves")
    if result is None:
        return ""
    released = {panel.metric: panel.released for panel in PANELS}
    lines = [
        f"{result['pairs']} pairs of published patients, embedded model, likelihood on prompt and "
        "chosen answer.",
        "",
        "| epoch | loss | log odds ratio term | reward accuracy | log p of rejected |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in result["epochs"]:
        cells = [f"{row[metric]:.2f}" for metric in released]
        lines.append(f"| {row['epoch']} | {' | '.join(cells)} |")
    for epoch in next(iter(released.values())):
        cells = [f"{points[epoch]:.2f}" for points in released.values()]
        lines.append(f"| released run, {epoch} | {' | '.join(cells)} |")
    return "\n".join(lines)


def claim_section(name: str) -> str:
    """Write the accuracy of students of images by their teacher, and paired differences."""
    result = recorded(name)
    if result is None:
        return ""
    how = f"cross-validation over {result['folds']} parts" if result["folds"] else "one split"
    lines = [
        f"{result['cases']} held-out tiles of {result['patients']} patients, "
        f"{len(result['labels'])} tissues, {how}; {_machine(result)}.",
        "",
        "| System | Tile top-1 % | Patient top-1 % | Balanced accuracy % | Macro-F1 % |",
        "|---|---:|---:|---:|---:|",
    ]
    for system, strata in result["metrics"].items():
        overall = strata["all"]
        names = ("top1", "top1_by_group", "balanced_accuracy", "macro_f1")
        values = [overall.get(name) for name in names]
        cells = [_percent([v["value"], v["low"], v["high"]]) if v else "–" for v in values]
        lines.append(f"| {system.replace('_', ' ')} | {' | '.join(cells)} |")
    lines += ["", "| Difference in tile top-1, paired | points |", "|---|---:|"]
    for d in result["differences"]:
        if d["metric"] == "top1":
            title = f"{d['first']} − {d['second']}".replace("_", " ")
            lines.append(f"| {title} | {_percent([d['value'], d['low'], d['high']])} |")
    return "\n".join(lines)


def tissue_teacher_section() -> str:
    """Write the accuracy of tissue teachers on patients that were left out one by one."""
    result = recorded("tissue_teacher")
    if result is None:
        return ""
    titles = {
        "majority": "majority",
        "reference": "EfficientNet-Lite0 features, logistic regression",
        "layers_chosen_inside": "the same, layers chosen within training patients",
        "clip": "`clip`",
        "clip_fusion": "`clip_fusion`",
        "clip_fusion_from_masks": "`clip_fusion`, nuclei measured from given masks",
    }
    lines = ["| organs (patients) | system | tile % | patient % |", "|---|---|---:|---:|"]
    for organs, measured in result["sets"].items():
        for system, title in titles.items():
            row = measured["systems"][system]
            cells = f"{_percent(row['tile_top1'])} | {_percent(row['patient_top1'])}"
            lines.append(f"| {organs} ({measured['patients']}) | {title} | {cells} |")
    return "\n".join(lines)


def campaign_section(name: str) -> str:
    """Write a campaign's summary in a sentence, and the table of its trials."""
    result = recorded(name)
    if result is None:
        return ""
    states = result["states"]
    minutes = sum(result["seconds"].values()) / 60
    spent, whole = result["steps_spent"], result["steps_all_to_the_end"]
    names = [setting.rpartition(".")[2] for setting in result["space"]]
    n_out_of_time = sum(row["reason"].endswith(OUT_OF_TIME) for row in result["trials"])
    by_time = f", {n_out_of_time} of them by the time budget" if n_out_of_time else ""
    lines = [
        f"`{result['command']}`, {_machine(result)}: "
        f"{len(result['trials'])} trials in {minutes:.0f} minutes, {states['stopped']} stopped "
        f"early{by_time}; {spent:,} optimizer steps of the {whole:,} that all trials to the end "
        f"would have taken ({spent / whole:.0%}).",
        "",
        f"| trial | state | steps | {' | '.join(names)} | MRR ↑ | NLL ↓ | ECE ↓ |",
        f"|---:|---|---:|{'---:|' * len(names)}---:|---:|---:|",
    ]
    for row in result["trials"]:
        settings = [_setting(row[setting]) for setting in result["space"]]
        metrics = [_setting(row[f"validation/{metric}"]) for metric in ("mrr", "nll", "ece")]
        trial = f"{row['trial']}{' (own)' if row['trial'] == 0 else ''}"
        state = f"{row['state']}{', winner' if row['winner'] else ''}"
        cells = [trial, state, f"{row['steps']}/{row['planned_steps']}", *settings, *metrics]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", result["recommendation"]]
    if result.get("promotion"):
        lines += ["", _promoted(result["promotion"])]
    return "\n".join(lines)


def _promoted(promotion: dict[str, Any]) -> str:
    before, after = promotion["measured"]["before"], promotion["measured"]["after"]
    decision = promotion["decision"]
    alias = "champion" if decision["champion"] else "challenger"
    numbers = {
        "NLL": f"{before['nll']['value']:.2f} to {after['nll']['value']:.2f}",
        "ECE": f"{before['ece']['value']:.2f} to {after['ece']['value']:.2f}",
        "coverage": _interval(after["coverage"]),
        "answers in a set": _interval(after["set_size"]),
    }
    summary = ", ".join(f"{name} {value}" for name, value in numbers.items())
    return (
        f"Promoted (`promotion.source=tune`), the winner became {alias} ({decision['reason']}): "
        f"temperature {promotion['temperature']:.2f}; on {after['nll']['n']} test cases {summary}."
    )


def _interval(value: dict[str, float]) -> str:
    return f"{value['value']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


def tuned_section() -> str:
    """Write the differences of tuned and default student on held-out patients."""
    result = recorded("tuned_student")
    if result is None:
        return ""
    lines = [
        f"{result['test_cases']} test cases of {result['test_groups']} publications, "
        f"{result['labels']:,} diseases; {len(result['trials'])} trials, a budget of "
        f"{result['budget_minutes']:g} minutes on {_machine(result)}.",
        "",
        "| metric | default | tuned | tuned − default |",
        "|---|---:|---:|---:|",
    ]
    for metric, title in {"mrr": "MRR", "top1": "Top-1", "top10": "Top-10", "nll": "NLL"}.items():
        gap = result["tuned_less_default"][metric]
        both = [f"{result['test'][system][metric]:.3f}" for system in ("default", "tuned")]
        interval = f"{gap['value']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"
        lines.append(f"| {title} | {' | '.join(both)} | {interval} |")
    return "\n".join(lines)


def rank_section() -> str:
    """Write the learning rate of the lowest loss by rank, with alpha scaled and fixed."""
    result = recorded("rank_scaling")
    if result is None:
        return ""
    rates = result["best_rate_by_rank"]

    def cell(mode: str, rank: str) -> str:
        rate = rates[mode][rank]
        rows = [r for r in result["points"][mode] if (r["rank"], r["rate"]) == (int(rank), rate)]
        return f"{rate:g} ({sum(r['loss'] for r in rows) / len(rows):.2f})"

    lines = [
        "| rank | best rate (loss), alpha scaled | best rate (loss), alpha fixed |",
        "|---:|---:|---:|",
    ]
    return "\n".join(
        [*lines, *(f"| {r} | {cell('scaled', r)} | {cell('fixed', r)} |" for r in rates["scaled"])]
    )


def serve_load_section() -> str:
    """Write throughput and latency of the service, beside those of a plain `generate`."""
    result = recorded("serve_load")
    if result is None:
        return ""
    lines = [
        "| clients | | answers / s | p50 s | p95 s | p99 s |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    titles = {
        "generate": "`generate`, a list of ten",
        "ours": "ours, the whole catalogue",
        "ours_unbatched": "ours, batches of one",
    }
    for count in result["ratios"]:
        for name, title in titles.items():
            row = result["systems"][name][count]
            cells = [f"{row[key]:.2f}" for key in ("per_second", "p50", "p95", "p99")]
            lines.append(f"| {count} | {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def serve_faults_section() -> str:
    """Write the outcomes of requests while parts of the service were killed."""
    result = recorded("serve_faults")
    if result is None:
        return ""
    lines = [
        "| under load | right | typed errors | other errors | wrong | no connection |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in result["faults"].items():
        right = row["statuses"].get("200", 0) - row["wrong_answers"]
        other = row["untyped_errors"]
        typed = sum(n for status, n in row["statuses"].items() if status != "200") - other
        cells = (right, typed, other, row["wrong_answers"], row["lost"])
        lines.append(f"| {name} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def _machine(result: dict[str, Any]) -> str:
    hardware = result["hardware"]
    machine = f"{hardware['cores']} cores of {hardware['cpu']}, {hardware['gpu'] or 'no GPU'}"
    return machine + (f", {result['date'][:10]}" if "date" in result else "")


def _setting(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "–" if value is None else str(value)


def _percent(value: list[float]) -> str:
    middle, low, high = (100 * v for v in value)
    return f"{middle:.1f} [{low:.1f}, {high:.1f}]"


def _size(run: dict[str, Any], stratum: str) -> int:
    systems = run["metrics"].values()
    return max((m["n"] for s in systems for m in s.get(stratum, {}).values()), default=0)


def render(text: str) -> str:
    """Return the text of a page with every results section renewed."""

    def renew(match: re.Match[str]) -> str:
        name = match[1]
        sections: dict[str, Callable[[], str]] = {
            "teacher": teacher_section,
            "held_out": held_out_section,
            "throughput": throughput_section,
            "curves": curves_section,
            "tissue_teacher": tissue_teacher_section,
            "tune_demo": partial(campaign_section, "tune_demo"),
            "tuned_student": tuned_section,
            "rank_scaling": rank_section,
            "serve_load": serve_load_section,
            "serve_faults": serve_faults_section,
            "note_findings": lambda: note_findings_section(recorded("note_findings")),
        }
        if name.startswith("tissue_claim"):
            sections[name] = partial(claim_section, name)
        body = sections[name]() if name in sections else section(name)
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
