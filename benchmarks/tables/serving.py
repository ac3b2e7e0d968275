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
