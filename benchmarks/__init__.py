"""Speed and memory of the project on this machine, beside its own limits: ``python -m benchmarks [NAME ...]``."""
