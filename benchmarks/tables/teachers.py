"""Tables of teachers on held-out groups."""

from collections.abc import Mapping
from typing import Any

from tables.records import machine, percent


def teacher_section(result: dict[str, Any]) -> str:
    """Write the teacher's accuracy on held-out publications."""
    lines = [
        "| modalities | diseases | cases | Top-1 % | Top-3 % | Top-10 % |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for setting, measured in result["settings"].items():
        for stratum, row in measured["test"].items():
            cells = [percent(row[name]) for name in ("top1", "top3", "top10")]
            name = "all" if stratum == "all" else f"{stratum} in training"
            words = setting.replace("_", " ")
            lines.append(f"| {words} | {name} | {row['n']:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def held_out_section(result: dict[str, Any]) -> str:
    """Write what is known of held-out diseases, and the sizes of the drawn groups of cases."""
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


_STRATA = {
    "all": "all",
    "seen": "seen in training",
    "annotated": "unseen, annotated",
    "named": "unseen, named",
    "not_in_catalogue": "not in the catalogue",
    "unseen": "unseen, all three kinds",
    "unseen_without_largest": "unseen, without the largest publication",
}


def disease_teachers_section(result: dict[str, Any]) -> str:
    """Write the accuracy of the disease teachers by kind of disease, and their differences."""
    lines = [
        f"{machine(result)}; seed {result['seed']}.",
        "",
        "| teacher (folds, fit) | diseases | cases | Top-1 % macro | Top-3 % macro "
        "| Top-10 % macro | micro |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    before = result.get("earlier", {"teachers": {}})
    rows = [(f"`{name}`", measured) for name, measured in result["teachers"].items()]
    rows += [
        (f"`{name}` of {before['date']}", measured) for name, measured in before["teachers"].items()
    ]
    for name, measured in rows:
        title = f"{name} ({len(measured['folds'])}, {measured['fit_seconds']:.0f} s)"
        for stratum, row in measured["strata"].items():
            lines.append(f"| {title} | {_STRATA[stratum]} | {row['n']:,} | {top_k_cells(row)} |")
            title = ""
    lines += [
        "",
        "| probabilities (folds) | NLL, answers of the catalogue | ECE | mean confidence % |",
        "|---|---:|---:|---:|",
    ]
    for name, measured in result["teachers"].items():
        row = measured["calibration"]
        lines.append(
            f"| `{name}` ({len(measured['folds'])}) | {row['nll']:.2f} | {row['ece']:.3f} "
            f"| {100 * row['confidence']:.1f} |"
        )
    lines += [
        "",
        "| paired difference (folds) | diseases | Top-1 macro | Top-3 macro | Top-10 macro "
        "| micro |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for name, measured in result["differences"].items():
        title = f"{name} ({len(measured['folds'])})"
        for stratum, row in measured["strata"].items():
            lines.append(f"| {title} | {_STRATA[stratum]} | {top_k_cells(row)} |")
            title = ""
    for name, row in before.get("differences", {}).items():
        title = f"{name} of {before['date']} ({len(row['folds'])})"
        lines.append(f"| {title} | all | {top_k_cells(row)} |")
    return "\n".join(lines)


def note_teacher_section(result: dict[str, Any]) -> str:
    """Write the accuracy from terms of phenopackets and from terms read in notes."""
    lines = [
        f"{machine(result)}; {result['notes']} notes of {result['groups']} groups; "
        f"seed {result['seed']}.",
        "",
        "| terms of | diseases | Top-1 % macro | Top-3 % macro | Top-10 % macro | micro |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for stratum in ("all", "seen"):
        for source, title in (("packet", "the phenopacket"), ("note", "the note, as read")):
            row = result[stratum][source]
            lines.append(f"| {title} | {_STRATA[stratum]} | {top_k_cells(row)} |")
    return "\n".join(lines)


def face_gain_section(result: dict[str, Any]) -> str:
    """Write the accuracy with and without the face, and the paired gain."""
    titles = {
        "without_image": "without the image",
        "with_image": "with the image",
        "drawn_findings_given": "drawn findings given as terms",
        "gain": "gain by the image, paired",
    }
    strata = _STRATA | {"with_other_terms": "all, with other terms"}
    lines = [
        f"{machine(result)}; {len(result['folds'])} folds, seed {result['seed']}.",
        "",
        "| cases | shown | Top-1 % macro | Top-3 % macro | Top-10 % macro | micro |",
        "|---|---|---:|---:|---:|---:|",
    ]
    return "\n".join([*lines, *_rows_by_view(result["strata"], strata, titles)])


def _rows_by_view(
    measured: Mapping[str, Any], strata: Mapping[str, str], titles: Mapping[str, str]
) -> list[str]:
    """Return a row for each view of each stratum, whose title stands in the first one."""
    rows = []
    for stratum, by_view in measured.items():
        title = f"{strata[stratum]} ({by_view['n']:,})"
        for view, words in titles.items():
            rows.append(f"| {title} | {words} | {top_k_cells(by_view[view])} |")
            title = ""
    return rows


def report_gain_section(result: dict[str, Any]) -> str:
    """Write the accuracy with and without laboratory reports, and the paired gains."""
    strata = {
        "all": "all",
        "reported": "with a report",
        "reported_seen": "with a report, seen in training",
        "reported_unseen": "with a report, unseen",
        "observed_with_other_terms": "observed findings in the report and in the note",
    }
    titles = {
        "without_report": "fitted without reports",
        "report_left_out": "fitted with reports, shown none",
        "with_report": "with reports",
        "findings_given": "findings of the reports given as terms",
        "gain": "gain by the reports, paired",
        "bound": "gain by the findings as terms, paired",
    }
    findings, measured = result["measured"]["findings"], result["measured"]["strata"]
    lines = [
        f"{machine(result)}; {len(result['folds'])} folds, seed {result['seed']}. Of "
        f"{findings['written']:,} findings in the reports {findings['read']:,} are read, and "
        f"{findings['read_though_not_written']:,} others.",
        "",
        "| cases | `stacked` | Top-1 % macro | Top-3 % macro | Top-10 % macro | micro |",
        "|---|---|---:|---:|---:|---:|",
    ]
    return "\n".join([*lines, *_rows_by_view(measured, strata, titles)])


def withheld_gain_section(result: dict[str, Any]) -> str:
    """Write how much the findings of each kind add to the others of a patient."""
    lines = [
        f"{machine(result)}; {len(result['folds'])} folds, seed {result['seed']}.",
        "",
        "| findings | cases | % of their terms | Top-1 % macro, without | with | gain, Top-1 "
        "| gain, Top-3 | gain, Top-10 |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, row in result["kinds"].items():
        shown = [percent(row[view]["top1"]["macro"]) for view in ("without", "with")]
        gains = [percent(row["gain"][f"top{k}"]["macro"]) for k in (1, 3, 10)]
        cells = " | ".join([*shown, *gains])
        lines.append(f"| {kind} | {row['n']:,} | {100 * row['share_of_terms']:.0f} | {cells} |")
    return "\n".join(lines)


def own_publications_section(result: dict[str, Any]) -> str:
    """Write the accuracy by what is left out of the annotations."""
    titles = {
        "nothing": "nothing",
        "own_alone": "lines that rest on publications of the tested groups alone",
        "own_cited": "lines that cite publications of the tested groups",
        "all_alone": "lines that rest on publications of the store alone",
        "all_cited": "lines that cite publications of the store",
    }
    strata = ("all", "seen", "unseen")
    lines = [
        f"{machine(result)}; seed {result['seed']}.",
        "",
        "| left out of the annotations | lines | test cases still cited % | teacher | diseases "
        "| cases | Top-1 % macro | Top-3 % macro | Top-10 % macro | micro |",
        "|---|---:|---:|---|---|---:|---:|---:|---:|---:|",
    ]
    for rule, measured in result["rules"].items():
        head = f"| {titles[rule]} | {measured['lines']:,} | {100 * measured['cited']:.0f} "
        for name, by_stratum in measured["teachers"].items():
            for stratum in strata:
                row = by_stratum[stratum]
                lines.append(
                    f"{head}| `{name}` | {_STRATA[stratum]} | {row['n']:,} | {top_k_cells(row)} |"
                )
                head = "| | | "
    return "\n".join(lines)


def top_k_cells(row: dict[str, Any]) -> str:
    """Return three cells of macro accuracies with their intervals, and one of micro ones."""
    macro = " | ".join(percent(row[f"top{k}"]["macro"]) for k in (1, 3, 10))
    micro = " / ".join(f"{100 * row[f'top{k}']['micro'][0]:.1f}" for k in (1, 3, 10))
    return f"{macro} | {micro}"


def tissue_teacher_section(result: dict[str, Any]) -> str:
    """Write the accuracy of tissue teachers on patients that were left out one by one."""
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
            cells = f"{percent(row['tile_top1'])} | {percent(row['patient_top1'])}"
            lines.append(f"| {organs} ({measured['patients']}) | {title} | {cells} |")
    return "\n".join(lines)
