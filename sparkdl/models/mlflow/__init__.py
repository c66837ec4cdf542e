"""Models in MLflow: runs are logged, versions registered as pyfuncs, and an alias followed."""
