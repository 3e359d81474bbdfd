"""Models and runs in MLflow, an optional package, which is imported when the first of them is asked for."""
