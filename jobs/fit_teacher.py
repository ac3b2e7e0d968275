"""Ray job of the stage `teach`: fit of the multimodal teacher with Ray Train.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python jobs/fit_teacher.py configs/demo.yaml store=/path/that/every/node/sees
"""

import sys

from mint_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["teach", *sys.argv[1:]]))
