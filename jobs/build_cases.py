"""Read or simulate cases, draw faces, write notes, split by publication.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python jobs/build_cases.py configs/demo.yaml store=/path/that/every/node/sees
"""

import sys

from mint_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["cases", *sys.argv[1:]]))
