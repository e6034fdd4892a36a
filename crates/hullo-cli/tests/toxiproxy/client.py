"""toxiproxy-python, its own methods one after the other: PORT is the API's, and UPSTREAM gives back what comes."""

import json
import socket
import sys
import time

from toxiproxy import Toxiproxy
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

port, upstream = int(sys.argv[1]), sys.argv[2]


def fails(error, call, *words, **more):
    try:
        call(*words, **more)
    except error:
        return
    raise AssertionError(f"no {error}")


def connect(proxy):
    host, port = proxy.listen.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=10)


def echoed(stream, text=b"hello"):
    began = time.monotonic()
    stream.sendall(text)
    came = b""
    while len(came) < len(text):
        piece = stream.recv(100)
        assert piece, "it ended"
        came += piece
    assert came == text
    return time.monotonic() - began


server = Toxiproxy()
server.update_api_consumer("127.0.0.1", port)
assert server.running()
assert json.loads(server.version())["version"].startswith("2.")
assert server.proxies() == {}

proxy = server.create(upstream=upstream, name="redis")
assert proxy.name == "redis" and proxy.enabled and not proxy.listen.endswith(":0"), proxy.listen
fails(ProxyExists, server.create, upstream=upstream, name="redis")
assert list(server.proxies()) == ["redis"]
assert server.get_proxy("redis").listen == proxy.listen and server.get_proxy("none") is None

stream = connect(proxy)
echoed(stream)
proxy.add_toxic(type="latency", attributes={"latency": 300, "jitter": 0})
proxy.add_toxic(name="up", type="slicer", stream="upstream", toxicity=0.5, attributes={"average_size": 2})
assert echoed(stream) >= 0.3
toxics = proxy.toxics()
assert sorted(toxics) == ["latency_downstream", "up"]
assert toxics["latency_downstream"].attributes["latency"] == 300 and toxics["up"].toxicity == 0.5
assert proxy.get_toxic("none") is None
fails(InvalidToxic, proxy.add_toxic, type="nothing")
fails(ProxyExists, proxy.add_toxic, name="up", type="noop")
proxy.destroy_toxic("latency_downstream")
proxy.destroy_toxic("up")
fails(NotFound, proxy.destroy_toxic, "up")
echoed(stream)

with proxy.down():
    assert stream.recv(1) == b"", "a proxy that is down ends its connections"
    fails(ConnectionRefusedError, connect, proxy)
echoed(connect(proxy))

proxy.disable()
proxy.add_toxic(type="timeout", attributes={"timeout": 0})
assert server.reset()
assert server.get_proxy("redis").enabled and proxy.toxics() == {}
echoed(connect(proxy))

made = server.populate([
    {"name": "redis", "upstream": upstream, "listen": proxy.listen},
    {"name": "other", "upstream": upstream, "listen": "127.0.0.1:0", "enabled": False},
])
assert [one.name for one in made] == ["other"] and not made[0].enabled
assert server.destroy(proxy)
fails(NotFound, proxy.destroy)
server.destroy_all()
assert server.proxies() == {}
print("good")
