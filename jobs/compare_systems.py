"""Ray job of the stage `compare`: systems of a config on the same held-out cases, set side by side.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python jobs/compare_systems.py configs/compare_phenopackets.yaml \
        store=/path/that/every/node/sees cases.path=/path/to/phenopackets.zip
"""

import sys

from mint_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
