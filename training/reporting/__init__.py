"""The report of a model version: model card, plots, contact sheets."""
