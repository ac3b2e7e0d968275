"""Throughput and latency of the service, beside a plain `generate` on the same student.

    mint run configs/demo.yaml
    python benchmarks/serve_load.py configs/demo.yaml --out benchmarks/results/serve_load.json

The peer is the simplest alternative: a Ray Serve deployment that calls `generate` for a list of ten
names, greedily and with its key-value cache. End tokens are suppressed until ten lines are written.
Ours ranks the whole catalogue. Each has one replica with one thread, the same notes and the same
clients (each sends its next request when it has an answer). They are measured in turn on the
same machine. `ours_unbatched` is ours with batches of one. Every answer under load is compared with
the answer that its note gets alone. At the end, one replica may become two under load, then one.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import serve_clients as clients
from figures import write_figure
from ray import serve
from starlette.requests import Request

from mint_ray.reports.svg import line, polyline, text

CLIENTS = (1, 4, 16)
LIST = 10  # names per answer of the peer
MOST_TOKENS = 200
OURS = {"ours": 8, "ours_unbatched": 1}


@serve.deployment(ray_actor_options={"num_cpus": 1}, max_ongoing_requests=100)
class Peer:
    """Deployment that calls `generate` once per request."""

    def __init__(self, folder: str) -> None:
        import torch

        from mint_ray.students.student import load_student

        torch.set_num_threads(1)
        student = load_student(Path(folder))
        self.student = replace(student, info=replace(student.info, k=LIST))

    def generate(self, note: str) -> str:
        """Generate a list of ten names, as text."""
        import torch
        from transformers import LogitsProcessorList

        prompt = self.student.prompt(note)
        tokenizer, model = self.student.tokenizer, self.student.model
        ends = model.generation_config.eos_token_id
        ends = [ends] if isinstance(ends, int) else list(ends)

        def hold_back(ids: Any, scores: Any) -> Any:
            if tokenizer.decode(ids[0, len(prompt.ids) :]).count("\n") < LIST:
                scores[:, ends] = -float("inf")
            return scores

        with torch.inference_mode():
            ids = torch.tensor([prompt.ids])
            generated = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=MOST_TOKENS,
                do_sample=False,
                pad_token_id=tokenizer.pad_token_id,
                logits_processor=LogitsProcessorList([hold_back]),
            )
        return str(tokenizer.decode(generated[0, len(prompt.ids) :], skip_special_tokens=True))

    async def __call__(self, request: Request) -> dict[str, str]:
        """Answer a request."""
        return {"text": self.generate((await request.json())["note"])}


async def measure(
    url: str, notes: Sequence[str], seconds: float, judged: int
) -> dict[str, dict[str, Any]]:
    """Measure a system under each number of clients, on the first `judged` notes."""
    alone = await clients.one_by_one(url, notes[:judged])
    by_count = {}
    for count in CLIENTS:
        replies = await clients.closed_loop(url, notes[:judged], alone, count, seconds)
        duration = max(reply.at + reply.seconds for reply in replies)
        by_count[str(count)] = clients.summary(replies, duration)
        print(count, by_count[str(count)], flush=True)
    return by_count


def replicas() -> dict[str, int]:
    """Return the number of running replicas of the student."""
    status = serve.status().applications["mint"].deployments["text"]
    return {"replicas": status.replica_states.get("RUNNING", 0)}


async def scale(url: str, notes: Sequence[str], seconds: float) -> dict[str, Any]:
    """Measure scaling from one replica to two under sixteen clients, and back without clients."""
    alone = await clients.one_by_one(url, notes)
    load = clients.closed_loop(url, notes, alone, 16, seconds)
    replies, up = await clients.sampled(load, replicas, 1)
    offset = up[-1]["at"]
    down: list[dict[str, Any]] = []
    for _ in range(round(seconds)):
        down.append({"at": round(offset + len(down), 1), **replicas()})
        if down[-1]["replicas"] == 1:
            break
        await asyncio.sleep(1)
    per_second = [0] * (round(offset) + 1)
    for reply in replies:
        per_second[min(len(per_second) - 1, int(reply.at + reply.seconds))] += 1
    return {
        "replicas": up + down,
        "answers_per_second": per_second,
        **clients.summary(replies, offset),
    }


def draw(path: Path, scaled: dict[str, Any]) -> None:
    """Draw replicas and answers per second over time."""
    rows, rates = scaled["replicas"], scaled["answers_per_second"]
    width, height, left, bottom = 640, 260, 50, 40
    last = max(row["at"] for row in rows) or 1
    top = max([*rates, 1])

    def x(at: float) -> float:
        return left + at / last * (width - left - 20)

    def y(share: float) -> float:
        return height - bottom - share * (height - bottom - 20)

    smooth = []
    for second in range(len(rates)):
        near = rates[max(0, second - 2) : second + 3]
        smooth.append(sum(near) / len(near))
    shapes = [
        line(left, y(0), width - 20, y(0), "zero"),
        polyline([(x(row["at"]), y(row["replicas"] / 2.2)) for row in rows], "curve c-rose"),
        polyline([(x(at), y(rate / top)) for at, rate in enumerate(smooth)], "curve c-teal"),
        text(left, 14, f"Replicas (rose, at most 2), answers per second (teal, at most {top})"),
        text(left, height - 12, "0 s"),
        text(width - 20, height - 12, f"{last:.0f} s", anchor="end"),
    ]
    write_figure(path, width, height, "Replicas and answers per second over time", shapes)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--notes", type=int, default=32)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    folder, notes = clients.finished_student(options.config)
    notes = notes[: options.notes]
    url = clients.start(threads_per_worker=1)
    systems = {}
    peer: Any = Peer  # a deployment, by its decorator
    serve.run(peer.bind(str(folder)), name="mint", route_prefix=clients.PATH)
    systems["generate"] = asyncio.run(measure(url, notes, options.seconds, 4))
    serve.delete("mint")
    for name, size in OURS.items():
        clients.deploy(str(folder), batch_size=size)
        systems[name] = asyncio.run(measure(url, notes, options.seconds, len(notes)))
        serve.delete("mint")
    delays: dict[str, Any] = {"scale_up_seconds": 5, "scale_down_seconds": 10}
    clients.deploy(str(folder), batch_size=4, max_replicas=2, cpus=0.5, **delays)
    scaled = asyncio.run(scale(url, notes, 2 * options.seconds))
    serve.shutdown()
    ratios = {
        count: {
            "throughput": round(
                systems["ours"][count]["per_second"] / systems["generate"][count]["per_second"], 2
            ),
            "p50": round(systems["ours"][count]["p50"] / systems["generate"][count]["p50"], 3),
        }
        for count in map(str, CLIENTS)
    }
    result = {
        "seconds_each": options.seconds,
        "systems": systems,
        "ratios": ratios,
        "scaling": scaled,
    }
    clients.write_result(options.out, f"python benchmarks/serve_load.py {options.config}", result)
    draw(options.out.with_name("serve_scaling.svg"), scaled)
    print(json.dumps(ratios, indent=1))


if __name__ == "__main__":
    main()
