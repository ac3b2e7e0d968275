"""Ray job of the stage `cases`: read or simulated cases, with images and notes, in splits.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python jobs/build_cases.py configs/demo.yaml store=/path/that/every/node/sees
"""

import sys

from mint_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["cases", *sys.argv[1:]]))
