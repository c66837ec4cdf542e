"""Metrics, intervals, calibration and comparison."""
