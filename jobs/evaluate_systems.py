"""Rank held-out cases with every system, measure, and write the report.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python jobs/evaluate_systems.py configs/demo.yaml store=/path/that/every/node/sees
"""

import sys

from mint_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
