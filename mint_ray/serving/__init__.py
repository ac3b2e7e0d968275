"""Students that answer over HTTP: requests, answers, security, and the Ray Serve application."""
