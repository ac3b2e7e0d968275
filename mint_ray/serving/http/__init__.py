"""HTTP side of the service: routes, API keys, rate limits, metrics and the web page."""
