"""httpx as the client, over HTTP/2 inside TLS. argv[1] is where the server is, argv[2] a file for an upload."""

import json, random, sys
import httpx

root = sys.argv[1]

with httpx.Client(http2=True, verify=False, base_url=root, timeout=8) as client:
    told = client.get("/get", params={"a": "ü"})
    assert told.http_version == "HTTP/2", told.http_version
    assert told.json()["url"] == root + "/get?a=%C3%BC" and told.json()["args"] == {"a": "ü"}, told.text
    assert told.json()["headers"]["Host"] == root.split("/")[2], told.text
    assert client.head("/get").headers["content-length"].isdigit()

    told = client.post("/post", files={"file": ("noise", open(sys.argv[2], "rb"))}, data={"name": "Ada"}).json()
    assert told["form"] == {"name": "Ada"} and told["files"]["file"].startswith("data:"), told["form"]
    assert client.put("/put", json=[1, {"a": None}]).json()["json"] == [1, {"a": None}]
    assert client.post("/post", content=iter([b"hul", b"lo"])).json()["data"] == "hullo"

    for algorithm in ("MD5", "SHA-256", "SHA-512"):
        auth = httpx.DigestAuth("ada", "secret")
        for _ in range(2):
            assert client.get(f"/digest-auth/auth/ada/secret/{algorithm}", auth=auth).json()["authenticated"]
        assert client.get(f"/digest-auth/auth/ada/other/{algorithm}", auth=auth).status_code == 401
    client.cookies.clear()
    assert client.get("/basic-auth/ada/secret", auth=("ada", "secret")).json() == {"authenticated": True, "user": "ada"}

    answer = client.get("/absolute-redirect/3", follow_redirects=True)
    assert len(answer.history) == 3 and str(answer.url) == root + "/get", answer.history
    assert client.get("/cookies/set?a=b", follow_redirects=True).json() == {"cookies": {"a": "b"}}
    assert "Secure" in client.get("/cookies/set/c/d").headers["set-cookie"]

    assert client.get("/gzip").json()["gzipped"] and client.get("/deflate").json()["deflated"]
    assert client.get("/range/26", headers={"Range": "bytes=0-2"}).text == "abc"
    wanted = random.Random(5)
    assert client.get("/bytes/9?seed=5").content == bytes(wanted.randint(0, 255) for _ in range(9))
    with client.stream("GET", "/stream/4") as lines:
        assert [json.loads(line)["id"] for line in lines.iter_lines()] == [0, 1, 2, 3]
    with client.stream("GET", "/drip?numbytes=4&duration=0.4") as drip:
        assert [piece for piece in drip.iter_raw()] == [b"*"] * 4
    for code in (204, 304, 404, 503):
        assert client.get(f"/status/{code}").status_code == code

    # A web page of somebody else, which this server lets in.
    answer = client.options("/post", headers={"Origin": "https://example.org", "Access-Control-Request-Headers": "X-A"})
    allowed = {name: value for name, value in answer.headers.items() if name.startswith("access-control")}
    assert allowed == {
        "access-control-allow-origin": "https://example.org",
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, POST, PUT, DELETE, PATCH, OPTIONS",
        "access-control-allow-headers": "X-A",
        "access-control-max-age": "3600",
    }, allowed
    assert client.get("/get").headers["access-control-allow-origin"] == "*"
    refused = client.delete("/get", headers={"Origin": "https://example.org"})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (405, "https://example.org")
print("good")
