"""From a score to what a person does about it: aggregation over time, episodes, mutes, reasons. No cuts."""
