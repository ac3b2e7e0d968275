"""Ray job of the stage `index`: documents of diseases, and the index that finds them.

    ray job submit --address http://127.0.0.1:8265 --working-dir . -- \
        python jobs/index_documents.py configs/reason_notes.yaml store=/path/that/every/node/sees
"""

import sys

from mint_ray.cli import main

if __name__ == "__main__":
    sys.exit(main(["index", *sys.argv[1:]]))
