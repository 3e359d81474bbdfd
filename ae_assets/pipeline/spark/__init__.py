"""Spark with its driver in another process or on a cluster, which Dagster Pipes starts and hears of."""
