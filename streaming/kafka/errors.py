"""What an error of Kafka's means: in one line, and whether to retry."""

from __future__ import annotations

_GONE = "the topic of {place} is gone: make it again and start with a new checkpoint"
_EXPIRED = (
    "messages of {place} are gone that were not read yet: they expired, or the topic was made again; "
    "to go on with those that are left, add --no-fail-on-data-loss"
)
_LASTING = {
    "UnknownTopicOrPartitionException": _GONE,
    "UnknownTopicIdException": _GONE,
    "OffsetOutOfRangeException": _EXPIRED,
    "overflows when converting to Spark's microsecond": "a message of {place} has a record time that Spark cannot "
    "hold: delete it (kafka-delete-records), and set the topic's message.timestamp.type to LogAppendTime",
    "KAFKA_DATA_LOSS": _EXPIRED,
    "RecordTooLargeException": "a row is larger than the topic of {place} takes: raise its max.message.bytes",
    "SaslAuthenticationException": "the brokers of {place} refuse the credentials of --kafka-config",
    "SslAuthenticationException": "the brokers of {place} are not trusted: see ssl.truststore.location in "
    "--kafka-config",
    "PBES2 SecretKeyFactory": "Java cannot read the encrypted key of --kafka-config: encrypt it as "
    "openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES does, or put it into a PKCS12 store",
    "TopicAuthorizationException": "the user of --kafka-config has no right to {place}",
}
"""What is the same at the next attempt, and what it means."""
_PASSING = {
    "kafka.common.errors.TimeoutException": "the brokers of {place} do not answer; the stream goes on where it "
    "stopped when it is started again",
}


def explain(failure: str, place: str) -> str | None:
    """What a failure of the connector means and what to do, None if it is none that is known.

    Parameters
    ----------
    failure
        The whole text of the error.
    place
        The address that the stream reads or writes.
    """
    known = {**_LASTING, **_PASSING}
    return next((words.format(place=place) for sign, words in known.items() if sign in failure), None)


def lasts(failure: str) -> bool:
    """Whether a failure of the connector, the whole text of the error, would be the same at the next attempt."""
    return any(sign in failure for sign in _LASTING)
