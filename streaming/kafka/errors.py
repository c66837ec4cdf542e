"""Errors of Spark's Kafka connector: the meaning of each in one line, and whether a retry can help."""

from __future__ import annotations

from streaming.failures import KnownError

_GONE = "the topic of {place} is gone: create it again and start with a new checkpoint"
_EXPIRED = (
    "messages of {place} are gone that were not read yet: they expired, or the topic was created again; "
    "to continue with the remaining ones, add --no-fail-on-data-loss"
)
_TOKEN = {
    '{"status":"invalid_token"}': "the brokers of {place} do not accept the token of --kafka-config: it expired "
    "because its endpoint does not answer or refuses the client, or they do not trust its issuer",
}
_FATAL = {
    "UnknownTopicOrPartitionException": _GONE,
    "UnknownTopicIdException": _GONE,
    "OffsetOutOfRangeException": _EXPIRED,
    "overflows when converting to Spark's microsecond": "a message of {place} has a record time that Spark cannot "
    "hold: delete it (kafka-delete-records), and set the topic's message.timestamp.type to LogAppendTime",
    "KAFKA_DATA_LOSS": _EXPIRED,
    "RecordTooLargeException": "a row is larger than the topic of {place} allows: increase its max.message.bytes",
    "encountered reading the token endpoint response; will not attempt": "the token endpoint for {place} refuses the "
    "client credentials of --kafka-config: correct its clientId and clientSecret",
    "SaslAuthenticationException": "the brokers of {place} refuse the credentials of --kafka-config: correct its "
    "sasl.jaas.config",
    "SslAuthenticationException": "the brokers of {place} are not trusted: see ssl.truststore.location in "
    "--kafka-config",
    "PBES2 SecretKeyFactory": "Java cannot read the encrypted key of --kafka-config: encrypt it as "
    "openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES does, or put it into a PKCS12 store",
    "TopicAuthorizationException": "the user of --kafka-config has no right to {place}: grant it with kafka-acls",
}
_TRANSIENT = {
    "An internal error occurred while retrieving token from callback handler": "the token endpoint for {place} does "
    "not answer, or answers with something other than a token",
    "kafka.common.errors.TimeoutException": "the brokers of {place} do not answer: start the stream again when they "
    "do, and it continues where it stopped",
}


def describe_error(message: str, place: str) -> KnownError | None:
    """Return the meaning of a failure of the connector; None if it is not known.

    Parameters
    ----------
    message
        The full text of the error.
    place
        The address that the stream reads or writes.
    """
    for table, fatal in ((_TOKEN, False), (_FATAL, True), (_TRANSIENT, False)):
        for sign, words in table.items():
            if sign in message:
                return KnownError(words.format(place=place), fatal)
    return None
