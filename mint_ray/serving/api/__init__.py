"""Request and answer formats of the service: JSON, CSV, phenopackets, chat, OpenAPI."""
