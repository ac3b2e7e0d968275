"""Ray job of the stage `evaluate`: rankings of held-out cases by every system, and a report.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python jobs/evaluate_systems.py configs/demo.yaml store=/path/that/every/node/sees
"""

import sys

from mint_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
