"""How the field judges scores of series: curves over all cuts, the score of NAB, alarms at a cut."""
