"""Logs of the service's processes, in the files of Ray Serve.

Ray Serve gives every replica a file, and its handlers to the logger `ray.serve` alone. Python drops
what other loggers say below a warning.
"""

import logging

OURS = "mint_ray"
RAY_SERVE = "ray.serve"


def write_to_serve_logs() -> None:
    """Send this package's records, the audit log among them, to the file of this replica."""
    ours = logging.getLogger(OURS)
    ours.setLevel(logging.INFO)
    for handler in logging.getLogger(RAY_SERVE).handlers:
        if handler not in ours.handlers:
            ours.addHandler(handler)
