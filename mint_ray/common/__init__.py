"""General helpers: arrays, cache, collectives, devices, digests, files, parquet, seeds."""
