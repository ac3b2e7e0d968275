"""How often a calibrated student says "none of these", inside and outside of its catalogue.

    python benchmarks/abstention.py phenopackets.zip --out benchmarks/results/abstention.json

The catalogue holds the diseases of training patients only (`knowledge.labels: cases`), so a test
patient whose disease no training patient has is outside of it. The student, trained for two steps,
is joined with look-ups (`promotion.ranking: fused`), which do most of the work: the rule that
abstains is what is measured, not the student. Calibration is the product's own (`mint calibrate`).

Rules: what the service flags, which is a p-value of at most 1 less the coverage of the sets; an
empty conformal set; and other limits of the p-value, which every answer of the service has. Of
each: how many of the patients outside it flags, how many of those inside, and how many right first
answers it costs.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import serve_clients as clients
import short_chain

from mint_ray.common.arrays import Bools
from mint_ray.evaluation.calibration.calibrator import AnswerCalibration, read_calibration
from mint_ray.evaluation.calibration.scores import ScoredCases, probabilities, scored_cases
from mint_ray.evaluation.metrics.bootstrap import mean_interval
from mint_ray.pipeline import graph as pipeline
from mint_ray.pipeline.check import load_run
from mint_ray.stages.calibrate import TESTED

LIMITS = (0.05, 0.1, 0.2, 0.3, 0.5)
SETTINGS = (
    "knowledge.labels=cases",
    "promotion.ranking=fused",
    "evaluation.fused_look_ups=[knowledge, neighbours]",
)


def measure(calibration: AnswerCalibration, cases: ScoredCases, seed: int) -> dict[str, Any]:
    """Return what each rule flags, with 95 % intervals over groups."""
    best = np.array([probabilities(s, calibration.temperature)[0] for s in cases.scores])
    inside = cases.answerable
    right = np.array([answer == 0 for answer in cases.answers])
    p_values = np.array([calibration.fit_of_best(float(p)) for p in best])
    flagged = [calibration.fits_none(float(p)) for p in best]
    rules = {"as served": np.array(flagged), "empty set": ~calibration.contains(best)}
    rules |= {f"p below {limit:g}": p_values < limit for limit in LIMITS}

    def share(flagged: Bools, part: Bools) -> dict[str, Any]:
        found = mean_interval(flagged[part].astype(np.float64), cases.groups[part], 1000, seed)
        return {name: round(getattr(found, name), 3) for name in ("value", "low", "high")} | {
            "n": int(part.sum())
        }

    outside = ~inside
    above = (p_values[inside][:, None] > p_values[outside][None, :]).mean()
    ties = (p_values[inside][:, None] == p_values[outside][None, :]).mean()
    return {
        "auroc": round(float(above + ties / 2), 3),
        "rules": {
            name: {
                "flagged_outside": share(flagged, outside),
                "flagged_inside": share(flagged, inside),
                "right_first_answers_flagged": share(flagged, inside & right),
            }
            for name, flagged in rules.items()
        },
    }


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path, help="ZIP of phenopackets")
    parser.add_argument("--packets", type=int, default=2000)
    parser.add_argument("--tested", type=int, default=300)
    parser.add_argument("--work", type=Path, default=None, help="folder that is kept")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with short_chain.sampled_store(options.store, options.packets, options.work) as (work, part):
        config = short_chain.CATALOGUE
        settings = [
            *short_chain.SHORT[config],
            *SETTINGS,
            f"store={work}",
            f"cases.path={part}",
            f"evaluation.max_cases={options.tested}",
        ]
        command = [sys.executable, "-m", "mint_ray", "calibrate", config, *settings]
        subprocess.run(command, check=True)
        loaded = load_run(config, settings)
        planned = pipeline.plan(loaded)
        folder = planned["calibrate"].folder
        calibration = read_calibration(folder)
        assert calibration is not None  # the command above has finished
        cases = scored_cases(pq.read_table(folder / TESTED))
        names = pq.read_metadata(planned["cases"].folder / "catalogue.parquet").num_rows
        measured = measure(calibration, cases, loaded.seed)
    result = {
        "packets": options.packets,
        "names": names,
        "coverage": calibration.coverage,
        "top1_inside": round(float(np.mean([a == 0 for a in cases.answers if a is not None])), 3),
        **measured,
    }
    command_line = (
        f"python benchmarks/abstention.py {options.store.name} --packets {options.packets} "
        f"--tested {options.tested}"
    )
    clients.write_result(options.out, command_line, result)
    print(result)


if __name__ == "__main__":
    main()
