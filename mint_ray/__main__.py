"""`python -m mint_ray` is the `mint` command."""

import sys

from mint_ray.cli import main

sys.exit(main())
