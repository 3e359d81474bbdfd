"""The drive-level protocol: detection and false alarms per entity, with intervals. Thresholds are chosen elsewhere."""
