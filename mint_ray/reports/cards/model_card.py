"""Model card of a promoted student: its use, lineage, accuracy and calibration."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mint_ray.evaluation.calibration.calibrator import AnswerCalibration
from mint_ray.evaluation.results import MACRO

FILE = "README.md"

_INTENDED = (
    "For research, and as a second opinion of people who are trained to judge it. It is no medical "
    "device. It ranks the entries of its catalogue and can name nothing else; that the answer of a "
    "{subject} is not in the catalogue can only be told from a best entry that fits badly. Its "
    "figures hold for {subject}s such as those that it was tested on."
)


def write_model_card(
    folder: Path,
    info: Mapping[str, Any],
    calibration: AnswerCalibration,
    n_labels: int,
    tested: str,
    look_ups: Sequence[str] = (),
) -> None:
    """Write the card as `README.md`.

    Args:
        folder: folder of the student.
        info: content of `student.json`.
        calibration: fitted calibration, with metrics from before and after it.
        n_labels: number of entries of the catalogue.
        tested: split of the test cases, with its seed, fold and knowledge release, in words.
        look_ups: that the student is joined with.
    """
    before, after = calibration.measured["before"], calibration.measured["after"]
    image = info["task"] == "tissue"
    lines = [
        "---",
        "library_name: peft",
        f"base_model: {info['base_model']}",
        "tags: [mint_ray, orpo, lora]",
        "---",
        "",
        f"# Student for {'images' if image else 'clinical notes'}",
        "",
        _INTENDED.format(subject="image" if image else "patient"),
        "",
        f"- base model: `{info['base_model']}`, revision `{info['base_revision']}`",
        f"- objective: {info['objective']}; task: {info['task']}; catalogue: {n_labels} entries",
        *([f"- ranking: fused with the look-ups {', '.join(look_ups)}"] if look_ups else []),
        *(f"- {name}: `{value}`" for name, value in sorted(info["lineage"].items())),
        "",
        "## Accuracy and calibration",
        "",
        f"Temperature {calibration.temperature:.3f}, sets of {calibration.coverage:.0%} coverage; "
        f"fitted on {calibration.cases} cases of {calibration.groups} validation groups.",
        *(f"Note: {remark}." for remark in calibration.remarks()),
        "",
        f"On {after['nll']['n']} test cases ({tested}), 95 % intervals over groups:",
        "",
        "| | before | after |",
        "|---|---|---|",
    ]
    means = {
        "top1": "top-1 accuracy",
        "top10": "top-10 accuracy",
        "mrr": "MRR",
        "nll": "negative log-likelihood",
    }
    titles = {
        **means,
        "ece": "ECE",
        "ece_debiased": "ECE, debiased",
        "ece_mass": "ECE over bins of equal mass",
        "ece_mass_debiased": "ECE over bins of equal mass, debiased",
        "auroc": "AUROC of confidence",
        "coverage": "coverage of the set, where the catalogue has the answer",
        "set_size": "answers in a set",
        "none_of_these": "none of these",
        "none_of_these_inside": "none of these, where the catalogue has the answer",
        "none_of_these_outside": "none of these, where the catalogue lacks the answer",
        **{f"{name}{MACRO}": f"{title}, mean over groups" for name, title in means.items()},
    }
    for name, title in titles.items():
        lines.append(f"| {title} | {_cell(before.get(name))} | {_cell(after.get(name))} |")
    (folder / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell(value: Any) -> str:
    if value is None or value["value"] is None:
        return ""
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
