"""Evaluating a classifier: metrics, intervals, calibration, comparison."""
