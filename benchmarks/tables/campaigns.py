"""Tables of campaigns, and of the student that a campaign found."""

from typing import Any

from mint_ray.tuning.trials import OUT_OF_TIME
from tables.records import machine


def campaign_section(result: dict[str, Any]) -> str:
    """Write a campaign's summary in a sentence, and the table of its trials."""
    states = result["states"]
    minutes = sum(result["seconds"].values()) / 60
    spent, whole = result["steps_spent"], result["steps_all_to_the_end"]
    names = [setting.rpartition(".")[2] for setting in result["space"]]
    n_out_of_time = sum(row["reason"].endswith(OUT_OF_TIME) for row in result["trials"])
    by_time = f", {n_out_of_time} of them by the time budget" if n_out_of_time else ""
    lines = [
        f"`{result['command']}`, {machine(result)}: "
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


def _setting(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "–" if value is None else str(value)


def tuned_section(result: dict[str, Any]) -> str:
    """Write the differences of tuned and default student on held-out patients."""
    lines = [
        f"{result['test_cases']} test cases of {result['test_groups']} publications, "
        f"{result['labels']:,} diseases; {len(result['trials'])} trials, a budget of "
        f"{result['budget_minutes']:g} minutes on {machine(result)}.",
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
