"""Alerts: failed runs and checks of the code location, posted to a service once until they pass again.

`event_log` reads what happened, `problems` decides what is worth a message, `wording` says it, `delivery` sends it;
`sensor` ties them together. Only `event_log` and `sensor` know Dagster.
"""
