"""The report of a model version: metrics, plots, contact sheets, model card."""
