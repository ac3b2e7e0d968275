"""Tables of teachers on held-out groups."""

from typing import Any

from tables.records import percent


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
