"""Labelled images: addresses, duplicates, splits, DataFrames."""
