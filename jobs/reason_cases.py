"""Ray job of the stage `reason`: answers of a chat model to the tested cases.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python jobs/reason_cases.py configs/reason_notes.yaml store=/path/that/every/node/sees
"""

import sys

from mint_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["reason", *sys.argv[1:]]))
