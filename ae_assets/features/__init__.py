"""From validated rows to features: frames in, frames out, and nothing of Dagster."""
