"""Ray job of the stage `tune`: search of the student's settings, one Ray Train run per trial.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python jobs/tune_student.py configs/tune_demo.yaml store=/path/that/every/node/sees
"""

import sys

from mint_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["tune", *sys.argv[1:]]))
