"""A client of the native protocol in Python's standard library alone, written from docs/native-protocol.md: JSON over a WebSocket made by
hand (RFC 6455). It runs through events, streams, queues and requests, and prints one line of JSON about each; any difference to what the
document says ends it with status 1.

    python3 rill_client.py ws://127.0.0.1:7455/rill
"""

import base64
import hashlib
import json
import os
import socket
import struct
import sys
from urllib.parse import urlsplit

WAIT_S = 10
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class WebSocket:
    def __init__(self, url):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), WAIT_S)
        self.buffer = b""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {parts.path} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Protocol: rill.v1+json",
            "",
            "",
        ]
        self.socket.sendall("\r\n".join(lines).encode())
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        status, *fields = head.decode().split("\r\n")
        headers = {n.lower(): v.strip() for n, v in (f.split(":", 1) for f in fields)}
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        assert " 101 " in status, status
        assert headers["sec-websocket-accept"] == accept
        assert headers["sec-websocket-protocol"] == "rill.v1+json"

    def more(self):
        chunk = self.socket.recv(65536)
        if not chunk:
            raise EOFError("the connection was closed")
        self.buffer += chunk

    def take(self, count):
        while len(self.buffer) < count:
            self.more()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def send(self, opcode, payload):
        length = len(payload)
        if length < 126:
            head = bytes([0x80 | opcode, 0x80 | length])
        elif length < 65536:
            head = bytes([0x80 | opcode, 0x80 | 126]) + struct.pack(">H", length)
        else:
            head = bytes([0x80 | opcode, 0x80 | 127]) + struct.pack(">Q", length)
        mask = os.urandom(4)
        self.socket.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def receive(self):
        """The next text message."""
        message = b""
        while True:
            first, second = self.take(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", self.take(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", self.take(8))
            payload = self.take(length)
            opcode = first & 0x0F
            if opcode == CLOSE:
                raise EOFError("the broker closed the connection")
            if opcode == PING:
                self.send(PONG, payload)
            elif opcode != PONG:
                message += payload
                if first & 0x80:
                    return message.decode()


class RillError(Exception):
    def __init__(self, frame):
        super().__init__(f"{frame['code']}: {frame['text']}")
        self.code, self.frame = frame["code"], frame


class Rill:
    def __init__(self, url, **hello):
        self.web_socket = WebSocket(url)
        self.frames, self.last_id = [], 0
        self.welcome = self.ask("hello", versions=[1], client="rill_client.py", **hello)
        assert self.welcome["op"] == "welcome" and self.welcome["version"] == 1

    def send(self, *frames):
        body = frames[0] if len(frames) == 1 else list(frames)
        self.web_socket.send(TEXT, json.dumps(body).encode())

    def begin(self, op, **fields):
        self.last_id += 1
        self.send({"op": op, "id": self.last_id, **fields})
        return self.last_id

    def answer(self, request):
        frame = self.next(lambda one: one.get("id") == request)
        if frame["op"] == "error":
            raise RillError(frame)
        return frame

    def ask(self, op, **fields):
        return self.answer(self.begin(op, **fields))

    def next(self, wanted):
        """The first frame that has come or comes and is wanted. Pings are answered."""
        while True:
            for frame in self.frames:
                if wanted(frame):
                    self.frames.remove(frame)
                    return frame
            message = json.loads(self.web_socket.receive())
            for frame in message if isinstance(message, list) else [message]:
                if frame["op"] == "ping":
                    self.send({"op": "pong"})
                elif frame["op"] == "error" and "id" not in frame:
                    raise RillError(frame)
                else:
                    self.frames.append(frame)

    def next_of(self, op, sub):
        return self.next(lambda one: one["op"] == op and one.get("sub") == sub)


def payload_of(frame):
    """Bytes of a message: text, base64, or absent."""
    if "payload64" in frame:
        return base64.b64decode(frame["payload64"])
    return frame.get("payload", "").encode()


def say(what, **fields):
    print(json.dumps({"did": what, **fields}), flush=True)


def code_of(act):
    try:
        act()
    except RillError as error:
        return error.code
    return "ok"


def events(one, other):
    sub = other.ask("subscribe", filter="python/+", credit=2)["sub"]
    one.ask("publish", topic="python/1", payload="grüße", properties=[["lang", "py"]])
    one.send({"op": "publish", "topic": "python/2", "payload64": base64.b64encode(b"\xff\x00").decode()})
    first, second = other.next_of("event", sub), other.next_of("event", sub)
    assert payload_of(first) == "grüße".encode() and first["properties"] == [["lang", "py"]]
    assert payload_of(second) == b"\xff\x00"
    other.ask("unsubscribe", sub=sub)
    unheard = one.ask("publish", topic="python/3")
    assert unheard["reached"] is False
    say("events", topics=[first["topic"], second["topic"]])


def streams(one, other):
    one.ask("stream.create", stream="py", retain="limits")
    messages = [{"payload": f"r{i}", "messageId": f"id{i}"} for i in range(5)]
    sequences = one.ask("append", stream="py", messages=messages, expectedSequence=1)["sequences"]
    again = one.ask("append", stream="py", messages=messages[:1])
    assert again["sequences"] == sequences[:1] and again["duplicates"] == 1
    wrong = code_of(lambda: one.ask("append", stream="py", messages=[{}], expectedSequence=1))
    assert wrong == "wrong-sequence"
    read = one.ask("read", stream="py", **{"from": {"sequence": 4}}, max=10)
    assert [r["sequence"] for r in read["records"]] == [4, 5] and read["next"] == 6
    opened = other.ask("consume", stream="py", consumer="c", **{"from": {"at": "first"}}, credit=3)
    assert opened["isNew"] is True
    got = []
    while len(got) < 3:
        got += other.next_of("records", opened["sub"])["records"]
    assert [r["deliveryCount"] for r in got] == [1, 1, 1]
    other.send({"op": "credit", "sub": opened["sub"], "add": 10})
    while len(got) < 5:
        got += other.next_of("records", opened["sub"])["records"]
    other.ask("ack", sub=opened["sub"], upTo=4)
    other.ask("unsubscribe", sub=opened["sub"])
    resumed = other.ask("consume", stream="py", consumer="c", credit=10)
    (last,) = other.next_of("records", resumed["sub"])["records"]
    assert (last["sequence"], last["deliveryCount"]) == (5, 2) and resumed["isNew"] is False
    other.ask("ack", sub=resumed["sub"], sequences=[5])
    say("streams", sequences=sequences, payloads=[payload_of(r).decode() for r in got])


def queues(one, other):
    sent = one.ask("send", queue="py", messages=[{"payload": "a"}, {"payload": "b"}, {"delayMs": 60000}])
    assert [sorted(result) for result in sent["results"]][2] == ["delayedUntil"]
    (first,) = other.ask("receive", queue="py", waitMs=5000)["deliveries"]
    assert payload_of(first) == b"a" and first["deliveryCount"] == 1
    other.ask("settle", queue="py", how="reject", deliveries=[first["delivery"]])
    (again,) = other.ask("receive", queue="py")["deliveries"]
    assert payload_of(again) == b"a" and again["deliveryCount"] == 2
    other.ask("settle", queue="py", how="ack", deliveries=[again["delivery"]])
    twice = code_of(lambda: other.ask("settle", queue="py", how="ack", deliveries=[again["delivery"]]))
    assert twice == "expired-delivery"
    sub = other.ask("queue.subscribe", queue="py", credit=10)["sub"]
    (pushed,) = other.next_of("deliveries", sub)["deliveries"]
    other.ask("settle", queue="py", how="ack", deliveries=[pushed["delivery"]])
    info = one.ask("queue.info", queue="py")
    assert (info["messages"], info["delayed"], info["receivers"]) == (1, 1, 1)
    say("queues", payloads=["a", payload_of(pushed).decode()])


def requests(one, other):
    assert code_of(lambda: one.ask("request", topic="py/sum", timeoutMs=1000)) == "no-responder"
    sub = other.ask("respond", filter="py/+", credit=5)["sub"]
    asked = one.begin("request", topic="py/sum", timeoutMs=5000, payload="[1,2]")
    request = other.next_of("request", sub)
    assert request["topic"] == "py/sum" and 0 < request["deadlineMs"] <= 5000
    total = str(sum(json.loads(payload_of(request))))
    other.ask("reply", request=request["request"], payload=total)
    reply = payload_of(one.answer(asked)).decode()
    asked = one.begin("request", topic="py/sum", timeoutMs=5000)
    other.send({"op": "reply", "request": other.next_of("request", sub)["request"], "error": "no numbers"})
    try:
        one.answer(asked)
        raise AssertionError("an error was expected")
    except RillError as error:
        assert error.code == "responder-error" and error.frame["text"] == "no numbers"
    say("requests", reply=reply)


def main():
    one, other = Rill(sys.argv[1], clientId="py-1"), Rill(sys.argv[1])
    assert other.welcome["clientId"] != "py-1"
    assert {"events", "streams", "queues", "requests"} <= set(one.welcome["capabilities"])
    assert one.ask("ping")["op"] == "pong"
    say("hello", clientId=one.welcome["clientId"])
    for pattern in (events, streams, queues, requests):
        pattern(one, other)
    assert code_of(lambda: one.ask("no.such.op")) == "unknown-op"
    try:
        one.send({"op": "no.such.op"})
        one.next(lambda frame: False)
    except (RillError, EOFError) as error:
        say("goodbye", code=getattr(error, "code", "closed"))


main()
