"""Processes that write and are killed with SIGKILL: where (`place`), what (`work`), how (`processes`), what is left
(`findings`), again and again (`rounds`). Used by ``benchmarks/kills.py`` with hundreds of trials, by a test with a few.
"""
