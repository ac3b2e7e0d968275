"""Ray job of `mint run`: every stage that is not complete, from cases to the report.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python jobs/run_pipeline.py configs/demo.yaml store=/path/that/every/node/sees
"""

import sys

from mint_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
