"""The REST app over the model: requests in, decisions out. No Dagster; `cli/serve.py` starts it."""
