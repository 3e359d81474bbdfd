"""Blocks on Spark: it reads and shuffles rows, and runs on each block the very functions of the local engine."""
