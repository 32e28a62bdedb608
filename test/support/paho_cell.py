"""One exchange of Paho Python with a broker: publishes a retained message with QoS 2, then gets it as a new subscriber.

    python3 paho_cell.py HOST PORT 3|4|5 tcp|websockets TOPIC [CA]
"""

import sys
import threading

import paho.mqtt.client as mqtt

WAIT_SECONDS = 15
host, port, version, transport, topic = sys.argv[1:6]
ca = sys.argv[6] if len(sys.argv) > 6 else None
protocol = {"3": mqtt.MQTTv31, "4": mqtt.MQTTv311, "5": mqtt.MQTTv5}[version]


def connect(name):
    options = {}
    if hasattr(mqtt, "CallbackAPIVersion"):
        options["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
    client = mqtt.Client(client_id=f"{name}-{topic}"[:23], protocol=protocol, transport=transport, **options)
    if transport == "websockets":
        client.ws_set_options(path="/mqtt")
    if ca is not None:
        client.tls_set(ca_certs=ca)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect(host, int(port))
    client.loop_start()
    assert connected.wait(WAIT_SECONDS), "no CONNACK"
    return client


def end(client):
    client.disconnect()
    client.loop_stop()


publisher = connect("p")
info = publisher.publish(topic, "kept", qos=2, retain=True)
info.wait_for_publish(WAIT_SECONDS)
assert info.is_published(), "not acknowledged"
end(publisher)

subscriber = connect("s")
arrived = threading.Event()
subscriber.on_message = lambda _client, _data, message: (message.payload == b"kept") and arrived.set()
subscriber.subscribe(topic, 2)
assert arrived.wait(WAIT_SECONDS), "no message"
end(subscriber)
print("ok")
