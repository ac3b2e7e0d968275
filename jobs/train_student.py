"""Ray job of the stage `train`: alignment of the student with Ray Train and DeepSpeed.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python jobs/train_student.py configs/demo.yaml store=/path/that/every/node/sees
"""

import sys

from mint_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
