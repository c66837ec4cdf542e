"""Promises of the way of an image from topic to topic that `benchmarks/speed` measures."""

from __future__ import annotations

from kafka import KafkaProducer
from routes import TopicRoute, opened
from sending import send_at, wait_for


def test_images_come_back_by_their_number(kafka: str) -> None:
    with opened(TopicRoute(kafka, [b"image"], loop_back=True)) as route:
        phase = send_at(route, 0, rate=50, seconds=0.2, warm_up=0.2, patience=30)
    assert (len(phase.seconds), phase.missing, phase.ended) == (10, 0, 20)
    assert 0 < min(phase.seconds) <= max(phase.seconds) < 30


def test_a_result_may_have_the_place_of_its_image_as_key_and_a_second_one_does_not_count(kafka: str) -> None:
    with opened(route := TopicRoute(kafka, [b"image"])):
        for number in range(4):
            route.send(number)
        producer = KafkaProducer(bootstrap_servers=kafka)
        for key in (f"{route.source}/1/1", f"{route.source}/1/1", "0"):
            producer.send(route.target, b"{}", key.encode())
        producer.close()
        assert wait_for(route, 2, 30)
        assert route.arrivals(range(4)).keys() == {0, 3}  # number 3 is the second of partition 1
