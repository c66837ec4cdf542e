"""All checks of `sparkdl doctor`, in the order of its output."""

from __future__ import annotations

from functools import partial

from console.checks import files, installation, services
from console.checks.base import Check, Finding, Question

_EXTRAS = {
    "train": "sparkdl train and evaluate",
    "kafka": "Kafka sources and sinks, and sparkdl produce",
    "delta": "reading Delta tables",
    "heif": "HEIC images",
    "keras": "InceptionV3 and other Keras networks, and digits-large",
    "kaggle": "--data kaggle:OWNER/NAME",
    "hf": "sparkdl models import hf:OWNER/NAME",
    "mlflow": "train --mlflow, models export, and models in MLflow",
}


def _extra(name: str, purpose: str, question: Question) -> Finding:
    return installation.find_extra(name, purpose)


def _connector(name: str, question: Question) -> Finding:
    return files.find_connector(name)


CHECKS = (
    Check("sparkdl", is_needed=True, find=installation.find_project),
    Check("python", is_needed=True, find=installation.find_python),
    Check("java", is_needed=True, find=installation.find_java),
    Check("pyspark", is_needed=True, find=installation.find_spark),
    Check("packages", is_needed=True, find=installation.find_packages),
    Check("shadowed", is_needed=True, find=installation.find_shadows),
    *(Check(f"extra {name}", is_needed=False, find=partial(_extra, name, use)) for name, use in _EXTRAS.items()),
    Check("weights", is_needed=True, find=files.find_weights),
    Check("kafka jars", is_needed=False, find=partial(_connector, "kafka")),
    Check("delta jars", is_needed=False, find=partial(_connector, "delta")),
    Check("broker jars", is_needed=False, find=files.find_broker_jars),
    Check("kafka", is_needed=False, find=services.find_kafka),
    Check("docker", is_needed=False, find=services.find_docker),
    Check("gpu", is_needed=False, find=services.find_gpu),
    Check("cache", is_needed=True, find=files.find_cache),
    Check("disk", is_needed=True, find=files.find_disk),
    Check("clock", is_needed=True, find=files.find_clock),
)
