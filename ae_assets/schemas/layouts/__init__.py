"""Layouts of raw rows: what a table's columns are called. Presets, and what is made of a YAML's own columns."""
