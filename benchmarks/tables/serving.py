"""Tables of the service under load and faults."""

from typing import Any


def serve_load_section(result: dict[str, Any]) -> str:
    """Write throughput and latency of the service, beside those of a plain `generate`."""
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


def serve_faults_section(result: dict[str, Any]) -> str:
    """Write the outcomes of requests while parts of the service were killed."""
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


def serve_catalogue_section(result: dict[str, Any]) -> str:
    """Write latency and memory of the service over the whole catalogue, with a reload in it."""
    lines = [
        "| | requests | failed | wrong | answers / s | p50 s | p95 s | MiB before | MiB at most |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in result["systems"].items():
        failed = sum(n for status, n in row["statuses"].items() if status != "200")
        counts = (row["requests"], failed, row["wrong_answers"])
        times = [f"{row[key]:.2f}" for key in ("per_second", "p50", "p95")]
        memory = [f"{row[key]:,.0f}" for key in ("mib_before", "mib_at_most")]
        lines.append(f"| {name} | {' | '.join([*map(str, counts), *times, *memory])} |")
    profile = result["profile"]
    lines += [
        "",
        f"| part of a batch of {profile['notes_a_batch']} notes | seconds |",
        "|---|---:|",
        f"| the whole batch | {profile['seconds_a_batch']:.2f} |",
        *(f"| {part} | {seconds:.3f} |" for part, seconds in profile["parts"].items()),
    ]
    return "\n".join(lines)


def serve_attack_section(result: dict[str, Any]) -> str:
    """Write what became of attacks on real students, and of the neighbours meanwhile."""
    lines = [
        "| attack | sent | 5xx | untyped or repeated | neighbours: answers | refused | wrong "
        "| longest s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, row in result["attacks"].items():
        failed = sum(n for status, n in row["statuses"].items() if status.startswith("5"))
        odd = sum(n for status, n in row["statuses"].items() if "untyped" in status)
        odd += sum(n for status, n in row["statuses"].items() if "repeats" in status)
        near = row["neighbours"]
        answers = near["statuses"].get("200", 0)
        refused = sum(near["statuses"].values()) - answers
        cells = (row["sent"], failed, odd, answers, refused, near["wrong_answers"])
        longest = f"{near['longest_seconds']:.1f}"
        lines.append(f"| {kind} | {' | '.join([*map(str, cells), longest])} |")
    return "\n".join(lines)


def serve_heavy_section(result: dict[str, Any]) -> str:
    """Write what one heavy request cost before its fix, and costs now."""
    labels = [label for label in ("before", "after") if label in result]
    heads = " | ".join(f"s {label} | MiB {label}" for label in labels)
    lines = [f"| request | {heads} |", "|---|" + "---:|" * (2 * len(labels))]
    for name in result[labels[-1]]:
        cells = [f"{result[x][name]['seconds']:.2f} | {result[x][name]['mib']}" for x in labels]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def abstention_section(result: dict[str, Any]) -> str:
    """Write how often a calibrated student abstains, and what that costs."""
    lines = [
        "| rule | flagged outside | flagged inside | right first answers flagged |",
        "|---|---:|---:|---:|",
    ]
    for rule, row in result["rules"].items():
        cells = [
            f"{100 * cell['value']:.0f} [{100 * cell['low']:.0f}, {100 * cell['high']:.0f}]"
            for cell in row.values()
        ]
        lines.append(f"| {rule} | {' | '.join(cells)} |")
    return "\n".join(lines)


def interrupts_section(result: dict[str, Any]) -> str:
    """Write how each command ended after one Ctrl-C."""
    lines = [
        "| command | seconds to its end | code | says how to continue | code of the second run |",
        "|---|---:|---:|---|---:|",
    ]
    for stage, row in result["stages"].items():
        if row.get("ended_before"):
            lines.append(f"| {stage} | ended before | {row['code']} | – | – |")
            continue
        says = "–" if stage == "serve" else "yes" if row["says_how_to_continue"] else "no"
        again = row.get("code_of_the_second_run", "–")
        lines.append(f"| {stage} | {row['seconds']:.1f} | {row['code']} | {says} | {again} |")
    return "\n".join(lines)
