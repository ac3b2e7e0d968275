"""HTTP service of trained students: requests, answers, security, the Ray Serve application."""
