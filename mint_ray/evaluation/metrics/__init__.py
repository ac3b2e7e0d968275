"""Metrics of rankings with bootstrap intervals, as functions of arrays over cases."""
