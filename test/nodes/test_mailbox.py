"""nodes.mailbox: the newest item only; what is replaced is counted; the producer keeps still while the consumer is at work."""

import threading

from depth_perception.nodes.mailbox import Mailbox


def test_the_newest_item_comes_and_the_others_are_counted():
    box = Mailbox(patience_s=0.0)
    for item in "abc":
        box.put(item)
    assert box.get() == "c"
    assert (box.put_count, box.dropped) == (3, 2)


def test_a_held_item_waits_for_release():
    box, got = Mailbox(), []
    box.hold()
    box.put("early")
    taker = threading.Thread(target=lambda: got.append(box.get()))
    taker.start()
    box.release()
    taker.join(5.0)
    assert got == ["early"]
    assert box.dropped == 0


def test_the_producer_goes_on_when_it_is_served():
    box, order = Mailbox(patience_s=10.0), []

    def consume():
        order.append(box.get())
        order.append("served")
        box.served()

    taker = threading.Thread(target=consume)
    taker.start()
    box.put("image")
    order.append("producer")
    taker.join(5.0)
    assert order == ["image", "served", "producer"]


def test_the_producer_waits_for_what_it_brought_not_for_what_came_before():
    box, order = Mailbox(patience_s=10.0), []
    first = threading.Thread(target=box.put, args=("first",))
    first.start()
    assert box.get() == "first"

    def produce():
        box.put("second")
        order.append("producer")

    second = threading.Thread(target=produce)
    second.start()
    while box.put_count < 2:
        pass
    box.served()  # of the first: the second one's urgent part is still to come
    first.join(0.2)
    order.append(box.get())
    order.append("served")
    box.served()
    second.join(5.0)
    first.join(5.0)
    assert order == ["second", "served", "producer"]


def test_close_ends_a_wait():
    box, got = Mailbox(), []
    taker = threading.Thread(target=lambda: got.append(box.get()))
    taker.start()
    box.close()
    taker.join(5.0)
    assert got == [None]
