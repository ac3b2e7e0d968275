"""Teachers whose scores of cases were made before: by another program, or by a server."""
