"""Paho against a broker: publish and subscribe with each QoS, retained, durable session, will.

    python3 paho_client.py PORT 4|5

Says "ok STEP" for each step and ends with 0, or with 1 and the reason.
"""

import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WAIT_SECONDS = 15
port = int(sys.argv[1])
protocol = {"4": mqtt.MQTTv311, "5": mqtt.MQTTv5}[sys.argv[2]]
is_v5 = protocol == mqtt.MQTTv5


class Client:
    """A client with blocking calls."""

    def __init__(self, client_id, is_durable=False, will=None):
        options = {} if is_v5 else {"clean_session": not is_durable}
        if hasattr(mqtt, "CallbackAPIVersion"):
            options["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
        self.client = mqtt.Client(client_id=client_id, protocol=protocol, **options)
        self.messages = []
        self.changed = threading.Condition()
        self.session_present = None
        self.subscribed = set()
        self.published = set()
        self.client.on_message = self.on_message
        self.client.on_connect = self.on_connect
        self.client.on_subscribe = self.on_subscribe
        if will is not None:
            self.client.will_set(will, "will", qos=1)
        if is_v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 3600 if is_durable else 0
            self.client.connect("127.0.0.1", port, clean_start=not is_durable, properties=properties)
        else:
            self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.wait(lambda: self.session_present is not None, "CONNACK")

    def note(self, change):
        with self.changed:
            change()
            self.changed.notify_all()

    def on_message(self, _client, _data, message):
        entry = (message.topic, message.payload.decode(), message.qos, message.retain)
        self.note(lambda: self.messages.append(entry))

    def on_connect(self, _client, _data, flags, code, _properties=None):
        assert code == 0, code
        self.note(lambda: setattr(self, "session_present", bool(flags["session present"])))

    def on_subscribe(self, _client, _data, mid, *_rest):
        self.note(lambda: self.subscribed.add(mid))

    def wait(self, is_true, what):
        with self.changed:
            if not self.changed.wait_for(is_true, WAIT_SECONDS):
                raise AssertionError(f"no {what}; messages: {self.messages}")

    def subscribe(self, topic_filter, qos):
        _result, mid = self.client.subscribe(topic_filter, qos)
        self.wait(lambda: mid in self.subscribed, "SUBACK")

    def publish(self, topic, text, qos, retain=False):
        info = self.client.publish(topic, text, qos=qos, retain=retain)
        info.wait_for_publish(WAIT_SECONDS)
        assert info.is_published(), "no acknowledgement"

    def expect(self, entries):
        self.wait(lambda: len(self.messages) >= len(entries), f"{len(entries)} messages")
        assert self.messages == entries, self.messages

    def disconnect(self):
        self.client.disconnect()
        self.client.loop_stop()

    def break_off(self):
        self.client.loop_stop()
        self.client._sock_close()


def exchange():
    subscriber = Client("paho-subscriber")
    subscriber.subscribe("paho/#", 2)
    publisher = Client("paho-publisher")
    for qos in (0, 1, 2):
        publisher.publish(f"paho/{qos}", f"text {qos}", qos)
    subscriber.expect([(f"paho/{qos}", f"text {qos}", qos, False) for qos in (0, 1, 2)])
    subscriber.disconnect()
    publisher.disconnect()


def retained():
    publisher = Client("paho-publisher")
    publisher.publish("paho-kept/a", "kept", 1, retain=True)
    subscriber = Client("paho-subscriber")
    subscriber.subscribe("paho-kept/+", 1)
    subscriber.expect([("paho-kept/a", "kept", 1, True)])
    publisher.publish("paho-kept/a", "", 1, retain=True)
    subscriber.disconnect()
    publisher.disconnect()


def durable():
    subscriber = Client("paho-durable", is_durable=True)
    assert not subscriber.session_present
    subscriber.subscribe("paho-durable/#", 2)
    subscriber.disconnect()
    publisher = Client("paho-publisher")
    for number in range(50):
        publisher.publish("paho-durable/a", str(number), 1 + number % 2)
    publisher.disconnect()
    again = Client("paho-durable", is_durable=True)
    assert again.session_present
    again.wait(lambda: len(again.messages) >= 50, "backlog")
    # Order holds within a QoS; QoS 2 is handed over with PUBREL.
    for qos in (1, 2):
        texts = [text for _topic, text, each, _retain in again.messages if each == qos]
        assert texts == [str(number) for number in range(qos - 1, 50, 2)], texts
    again.disconnect()


def will():
    subscriber = Client("paho-subscriber")
    subscriber.subscribe("paho-will", 1)
    Client("paho-mortal", will="paho-will").break_off()
    subscriber.expect([("paho-will", "will", 1, False)])
    subscriber.disconnect()


for step in (exchange, retained, durable, will):
    step()
    print(f"ok {step.__name__}", flush=True)
