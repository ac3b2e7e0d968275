"""Report of a tuning campaign: its page, its plots and the table of its trials."""
