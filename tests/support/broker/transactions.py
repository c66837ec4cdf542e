"""Messages in transactions, some of which are aborted."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import uuid4

from kafka import KafkaProducer


def send_transactions(servers: str, topic: str, transactions: Iterable[tuple[list[bytes], bool]]) -> None:
    """Puts values on a topic, one transaction after the other, each of which is committed or aborted."""
    producer = KafkaProducer(bootstrap_servers=servers, transactional_id=f"test-{uuid4().hex[:12]}")
    try:
        producer.init_transactions()
        for values, is_committed in transactions:
            producer.begin_transaction()
            for value in values:
                producer.send(topic, value)
            producer.flush(60)  # so that the broker has what is aborted
            if is_committed:
                producer.commit_transaction()
            else:
                producer.abort_transaction()
    finally:
        producer.close()
