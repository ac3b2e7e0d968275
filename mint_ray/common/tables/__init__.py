"""Tables in files: parquet, CSV, tab-separated text and JSON lines."""
