"""Alerts: failed runs and checks of the code location, posted to a webhook once until they pass again.

`event_log` reads what happened, `problems` decides what is worth a message, `wording` says it, `webhook` delivers it;
`sensor` ties them together. Only `event_log` and `sensor` know Dagster.
"""
