"""The Dagster side: the component that turns a watched table's YAML into assets, checks, sensors and jobs."""
