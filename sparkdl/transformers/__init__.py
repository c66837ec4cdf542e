"""The stages of a Spark ML pipeline."""
