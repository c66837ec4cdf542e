"""Labelled images: where they lie, duplicates, splits, DataFrames."""
