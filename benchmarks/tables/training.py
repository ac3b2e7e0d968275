"""Tables of training: throughput, curves, learning rate by rank."""

from typing import Any

from mint_ray.reports.evaluation.training_curves import PANELS
from tables.records import machine


def throughput_section(result: dict[str, Any]) -> str:
    """Write pairs per second and peak memory of ours and of TRL's trainer."""
    hardware, versions = result["hardware"], result["versions"]
    lines = [
        f"{hardware['threads']} threads of {hardware['cpu']}, {result['model']} model, "
        f"LoRA of rank 16; TRL {versions['trl']}, torch {versions['torch']}.",
        "",
        "| prompt / answer | batch | precision | likelihood on | TRL pairs/s | ours pairs/s "
        "| ratio | bound | TRL MiB | ours MiB | ratio |",
        "|---|---:|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for shape in result["shapes"]:
        peer = shape["trl"]
        for name, words in (("prompt_and_chosen", "prompt and chosen"), ("chosen", "chosen")):
            ours = shape[name]
            lines.append(
                f"| {shape['prompt']} / {shape['completion']} | {shape['batch']} "
                f"| {shape['precision']} | {words} "
                f"| {peer['pairs_per_s']:.2f} | {ours['pairs_per_s']:.2f} | {ours['ratio']:.2f} "
                f"| {ours['bound']:.2f} | {peer['peak_mb']:,.0f} | {ours['peak_mb']:,.0f} "
                f"| {ours['memory_ratio']:.2f} |"
            )
    return "\n".join(lines)


def varlen_section(result: dict[str, Any]) -> str:
    """Write the seconds a case of both attentions, and their ratio."""
    lines = [
        f"{machine(result)}, {result['threads']} threads, embedded model, all weights.",
        "",
        "| precision | cases a micro-batch | padding in SDPA's rows | sdpa, s a case "
        "| varlen, s a case | ratio, least to largest |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        seconds, ratios = row["seconds_a_case"], row["ratios"]
        lines.append(
            f"| {row['precision']} | {row['micro_batch']} | {row['padding']:.0%} "
            f"| {seconds['sdpa']:.2f} | {seconds['varlen']:.2f} "
            f"| {row['ratio']:.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
    return "\n".join(lines)


def curves_section(result: dict[str, Any]) -> str:
    """Write ORPO's metrics by epoch, beside the published values of the released run."""
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


def rank_section(result: dict[str, Any]) -> str:
    """Write the learning rate of the lowest loss by rank, with alpha scaled and fixed."""
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


def gpu_throughput_section(result: dict[str, Any]) -> str:
    """Write steps and memory of the ways to compute one loss on a GPU."""
    lines = [
        f"{machine(result)}, bfloat16, random weights; a product of matrices reaches "
        f"{result['peak_tflops']:.0f} TFLOP/s.",
        "",
        "| shape | weights | prompt / answer | pairs | system | s a step | pairs/s | MFU | MiB |",
        "|---|---|---:|---:|---|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        lines.append(
            f"| {row['shape']} | {row['adapter']} | {row['prompt']} / {row['answer']} "
            f"| {row['pairs']} | {row['system']} | {row['seconds_a_step']:.3f} "
            f"| {row['pairs_per_s']:.0f} | {row['mfu']:.1%} | {row['peak_memory_mb']:,.0f} |"
        )
    return "\n".join(lines)
