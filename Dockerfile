# sparkdl with Spark, its Kafka connector, Delta Lake and a Java, and without TensorFlow. What it needs it fetches while
# it is built; a container fetches nothing. docs/how-to/compose.md describes its use.

# Python 3.11 or newer with its module `venv`, on glibc; a Java 17 or newer, if it has one, is used.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY locks/image.lock locks/java.lock locks/build.lock locks/
RUN python3 -m venv /opt/build && /opt/build/bin/pip install --quiet --require-hashes -r locks/build.lock
RUN python3 -m venv /opt/sparkdl && /opt/sparkdl/bin/pip install --quiet --require-hashes -r locks/image.lock

COPY LICENSE README.md pyproject.toml ./
COPY sparkdl sparkdl
COPY training training
COPY streaming streaming
COPY producer producer
COPY console console
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . \
    && /opt/sparkdl/bin/pip install --quiet --no-deps dist/*.whl
RUN /opt/sparkdl/bin/python -m sparkdl.spark.java \
    || /opt/sparkdl/bin/pip install --quiet --require-hashes -r locks/java.lock
# Where `spark-submit` finds that Java too, without the package's help.
RUN java=$(SPARKDL_CACHE_DIR=/opt/sparkdl/share /opt/sparkdl/bin/python -c \
        'from sparkdl.spark.java import ensure_java; print(ensure_java())') \
    && java=$(readlink --canonicalize "$java") && ln --symbolic "${java%/bin/java}" /opt/sparkdl/java

# Spark finds among its own jars what it would else fetch at each start. Another repository than Maven Central:
# --build-arg SPARKDL_MAVEN_REPOSITORY=ADDRESS.
ARG SPARKDL_MAVEN_REPOSITORY
RUN cd / && /opt/sparkdl/bin/python -m sparkdl.spark.jars \
    "$(/opt/sparkdl/bin/python -c 'import pyspark; print(*pyspark.__path__)')/jars" \
    /src/streaming/kafka.lock /src/streaming/delta.lock

# Java maps Spark's classes from a CDS archive instead of reading each of them at each start.
RUN mkdir /opt/cache && { JAVA_HOME=/opt/sparkdl/java SPARKDL_CACHE_DIR=/opt/cache \
        /opt/sparkdl/bin/python -m sparkdl.spark.class_data_sharing || echo "no class data sharing: the start is slower"; }

FROM ${BASE}
ENV PATH=/opt/sparkdl/bin:${PATH} JAVA_HOME=/opt/sparkdl/java LANG=C.UTF-8 PYTHONUNBUFFERED=1 SPARKDL_CACHE_DIR=/var/cache/sparkdl
# A volume that is mounted on one of these directories for the first time is given its owner.
RUN useradd --uid 10001 --create-home sparkdl \
    && install --directory --owner=sparkdl --group=sparkdl \
        /data /data/models /data/predictions /data/checkpoint "$SPARKDL_CACHE_DIR"
COPY --from=build /opt/sparkdl /opt/sparkdl
COPY --from=build --chown=sparkdl:sparkdl /opt/cache/ /var/cache/sparkdl/
USER 10001
WORKDIR /data
ENTRYPOINT ["sparkdl"]
CMD ["--help"]
