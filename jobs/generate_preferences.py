"""Ray job of the stage `prefer`: teacher rankings of every case, and preference pairs.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python jobs/generate_preferences.py configs/demo.yaml store=/path/that/every/node/sees
"""

import sys

from mint_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["prefer", *sys.argv[1:]]))
