# For `make coverage`: where Spark's Python processes find coverage_daemon.
export PYTHONPATH="${PYTHONPATH:+$PYTHONPATH:}$SPARK_CONF_DIR"
