"""Ray job of `mint promote`: calibration and registration of a finished student.

The student becomes the champion if it beats the present one.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python jobs/promote_student.py configs/demo.yaml store=/path/that/every/node/sees
"""

import sys

from mint_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["promote", *sys.argv[1:]]))
