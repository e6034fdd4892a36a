"""requests as the client: every group of paths, and every line of the page's table. argv[1] is where the server is."""

import base64, json, random, re, sys, time
from concurrent.futures import ThreadPoolExecutor

import requests
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

root = sys.argv[1]


def get(path, **more):
    return requests.get(root + path, timeout=8, **more)


def methods():
    told = get("/get", params=[("a", "1"), ("b", "2"), ("b", "3"), ("ü", "ö ü")], headers={"X-Color": "blue"}).json()
    assert told["args"] == {"a": "1", "b": ["2", "3"], "ü": "ö ü"}, told
    assert sorted(told) == ["args", "headers", "origin", "url"], told
    assert told["headers"]["X-Color"] == "blue" and told["origin"] == "127.0.0.1", told
    assert told["url"] == root + "/get?a=1&b=2&b=3&%C3%BC=%C3%B6+%C3%BC", told
    for method in ("post", "put", "patch", "delete"):
        send = getattr(requests, method)
        form = send(f"{root}/{method}", data={"name": "Ada", "color": ["red", "blue"]}).json()
        assert form["form"] == {"name": "Ada", "color": ["red", "blue"]} and form["data"] == "", form
        sent = send(f"{root}/{method}", json={"a": [1, 2.5, None, "ü"]}).json()
        assert sent["json"] == {"a": [1, 2.5, None, "ü"]} and json.loads(sent["data"]) == sent["json"], sent
        raw = send(f"{root}/{method}", data=b"\xff\x00").json()
        assert raw["data"] == "data:application/octet-stream;base64,/wA=" and raw["json"] is None, raw
    files = {"text": ("a.txt", "hullo", "text/plain"), "image": ("b.png", b"\x89PNG", "image/png")}
    told = requests.post(root + "/post", files=files, data={"name": "Ada"}).json()
    assert told["files"] == {"text": "hullo", "image": "data:image/png;base64,iVBORw=="}, told
    assert told["form"] == {"name": "Ada"} and told["data"] == "", told
    several = [("f", ("1", "one")), ("f", ("2", "two"))]
    assert requests.post(root + "/post", files=several).json()["files"] == {"f": ["one", "two"]}
    chunked = requests.post(root + "/post", data=iter([b"hul", b"lo"])).json()
    assert chunked["data"] == "hullo" and chunked["headers"]["Transfer-Encoding"] == "chunked", chunked
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"):
        told = requests.request(method, root + "/anything/a/b%20c?d=e").json()
        assert told["method"] == method and told["url"] == root + "/anything/a/b%20c?d=e", told
    head = requests.head(root + "/head")
    assert head.status_code == 200 and int(head.headers["Content-Length"]) > 100 and head.content == b""
    refused = get("/post")
    assert refused.status_code == 405 and "POST" in refused.headers["Allow"], refused.headers
    assert get("/nowhere").status_code == 404


def what_came():
    assert get("/ip").json() == {"origin": "127.0.0.1"}
    assert get("/ip?format=text").text == "127.0.0.1"
    assert get("/user-agent", headers={"User-Agent": "me/1"}).json() == {"user-agent": "me/1"}
    assert get("/headers").json()["headers"]["Host"] == root.split("/")[2]
    assert get("/dump/request").text.startswith("GET /dump/request HTTP/1.1\r\n")
    assert requests.put(root + "/upload", data=b"x" * 3_000_000).json()["bytes_received"] == 3_000_000
    assert get("/env").json() == {"env": {"COLOR": "blue"}}
    assert get("/hostname").json()["hostname"]


def auth():
    for path in ("basic-auth", "hidden-basic-auth"):
        good = get(f"/{path}/ada/a%20b", auth=HTTPBasicAuth("ada", "a b"))
        assert good.json() == {"authenticated": True, "user": "ada"}, good.text
    bad = get("/basic-auth/ada/secret", auth=("ada", "wrong"))
    assert bad.status_code == 401 and bad.headers["WWW-Authenticate"] == 'Basic realm="Fake Realm"'
    assert get("/hidden-basic-auth/ada/secret", auth=("ada", "wrong")).status_code == 404
    assert get("/bearer").status_code == 401 and get("/bearer").headers["WWW-Authenticate"] == "Bearer"
    assert get("/bearer", headers={"Authorization": "Bearer abc"}).json() == {"authenticated": True, "token": "abc"}
    for algorithm in ("", "/MD5", "/SHA-256", "/SHA-512"):
        for qop in ("auth", "none"):
            path = f"/digest-auth/{qop}/ada/secret{algorithm}"
            assert get(path, auth=HTTPDigestAuth("ada", "secret")).json()["authenticated"], path
            for name, word in (("ada", "wrong"), ("eve", "secret")):
                assert get(path, auth=HTTPDigestAuth(name, word)).status_code == 401, path
    # A nonce that may be used once is stale the second time. requests learns the next one from that, but sends the
    # cookies of before along with it, and so is let in again only the time after.
    session = requests.Session()
    session.auth = HTTPDigestAuth("ada", "secret")
    answers = [session.get(root + "/digest-auth/auth/ada/secret/MD5/1") for _ in range(4)]
    told = [(answer.status_code, "stale=TRUE" in answer.headers.get("WWW-Authenticate", "")) for answer in answers]
    assert told == [(200, False), (401, True), (200, False), (401, True)], told
    # Where cookies are asked for, one that forgets them is told.
    needs = "/digest-auth/auth/ada/secret?require-cookie=1"
    assert get(needs, auth=HTTPDigestAuth("ada", "secret")).status_code == 200
    asked = get(needs)
    nonce = re.search('nonce="(.*?)"', asked.headers["WWW-Authenticate"])[1]
    told = get(needs, cookies={"other": "1"}, headers={"Authorization": f'Digest username="ada", nonce="{nonce}"'})
    assert told.status_code == 403 and told.json()["errors"], told.text


def statuses():
    for code in (200, 204, 226, 304, 400, 404, 451, 500, 599, 999):
        for method in ("GET", "POST", "DELETE"):
            assert requests.request(method, f"{root}/status/{code}").status_code == code
    for code in (301, 302, 303, 305, 307, 308):
        answer = get(f"/status/{code}", allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (code, "/redirect/1")
    assert "teapot" in get("/status/418").text and "x-more-info" in get("/status/418").headers
    assert get("/status/407").headers["Proxy-Authenticate"] and "image/webp" in get("/status/406").json()["accept"]
    drawn = {get("/status/200,500:0,404:1").status_code for _ in range(40)}
    assert drawn == {200, 404}, drawn
    assert get("/unstable?failure_rate=1").status_code == 500 and get("/unstable?failure_rate=0").status_code == 200
    assert {get("/unstable?seed=7").status_code for _ in range(5)} == {500 if random.Random(7).random() < 0.5 else 200}


def redirects():
    for kind in ("redirect", "relative-redirect", "absolute-redirect"):
        answer = get(f"/{kind}/4")
        assert len(answer.history) == 4 and answer.json()["url"] == root + "/get", (kind, answer.history)
        first = answer.history[0]
        assert first.status_code == 302 and first.headers["Location"].startswith("http") == (kind[0] == "a")
    assert get("/redirect/2?absolute=true", allow_redirects=False).headers["Location"] == root + "/absolute-redirect/1"
    for code in (301, 302, 303, 307, 308):
        answer = requests.post(root + "/redirect-to", params={"url": "/anything", "status_code": code}, data="hullo")
        kept = code > 303
        assert answer.json()["method"] == ("POST" if kept else "GET"), code
        assert answer.json()["data"] == ("hullo" if kept else ""), code
    # The body comes behind the head and is not wanted; the connection is good for the next request all the same.
    session = requests.Session()
    for path in ("/redirect-to?url=/get", "/status/202", "/nowhere", "/status/404"):
        for _ in range(20):
            assert session.post(root + path, data=b"x" * 100_000).status_code in (200, 202, 404), path
    assert session.post(root + "/post", data=b"x" * 5_000_000).status_code == 413
    assert get("/redirect-to?url=/get&status_code=200", allow_redirects=False).status_code == 302


def cookies():
    session = requests.Session()
    shown = lambda path: session.get(root + path).json()["cookies"]
    assert shown("/cookies") == {}
    assert shown("/cookies/set/color/blue") == {"color": "blue"}
    assert shown("/cookies/set?size=7&shape=round") == {"color": "blue", "size": "7", "shape": "round"}
    assert shown("/cookies/delete?color&size") == {"shape": "round"}
    line = get("/cookies/set/a/b", allow_redirects=False).headers["Set-Cookie"]
    assert line == ("a=b; Secure; Path=/" if root.startswith("https") else "a=b; Path=/"), line
    assert get("/cookies", headers={"Cookie": 'a="x\\073y"; b=1; b=2; c'}).json()["cookies"] == {"a": "x;y", "b": "1"}


def responses():
    fresh = get("/cache")
    assert fresh.headers["ETag"] and fresh.headers["Last-Modified"].endswith("GMT")
    for headers in ({"If-None-Match": fresh.headers["ETag"]}, {"If-Modified-Since": fresh.headers["Last-Modified"]}):
        assert get("/cache", headers=headers).status_code == 304
    assert get("/cache/60").headers["Cache-Control"] == "public, max-age=60"
    for headers, code in (
        ({}, 200),
        ({"If-None-Match": "abc"}, 304),
        ({"If-None-Match": '"x", W/"abc"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"x"'}, 200),
        ({"If-Match": '"x", "abc"'}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"x"'}, 412),
    ):
        answer = get("/etag/abc", headers=headers)
        assert answer.status_code == code, headers
        assert answer.headers.get("ETag") == (None if code == 412 else "abc"), headers
    answer = requests.post(root + "/response-headers?X-Color=blue&X-Color=red&X-Size=7")
    assert answer.headers["X-Color"] == "blue, red" and answer.headers["X-Size"] == "7"
    told = answer.json()
    assert told["X-Color"] == ["blue", "red"] and told["Content-Length"] == str(len(answer.content)), told


def formats():
    slides = get("/json").json()["slideshow"]
    assert slides["title"] == "Sample Slide Show" and [slide["type"] for slide in slides["slides"]] == ["all", "all"]
    assert get("/xml").headers["Content-Type"] == "application/xml" and "<slideshow" in get("/xml").text
    assert "<h1>" in get("/html").text and 'action="/post"' in get("/forms/post").text
    assert get("/robots.txt").text == "User-agent: *\nDisallow: /deny\n" and "YOU SHOULDN'T" in get("/deny").text
    assert "∀x∈ℝ" in get("/encoding/utf8").text
    for path, field in (("gzip", "gzipped"), ("deflate", "deflated")):
        answer = get("/" + path)
        assert answer.headers["Content-Encoding"] == path and answer.json()[field] is True
    kinds = {"png": b"\x89PNG\r\n", "jpeg": b"\xff\xd8\xff", "webp": b"RIFF", "svg": b"<svg"}
    for kind, opening in kinds.items():
        direct = get(f"/image/{kind}")
        assert direct.content.startswith(opening), kind
        accepted = get("/image", headers={"Accept": direct.headers["Content-Type"]})
        assert accepted.content == direct.content, kind
    assert get("/image", headers={"Accept": "application/json"}).status_code == 406


def data():
    assert re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", get("/uuid").json()["uuid"])
    for seed in (0, 42, -7, 2**70):
        python = random.Random(seed)
        wanted = bytes(python.randint(0, 255) for _ in range(1000))
        assert get(f"/bytes/1000?seed={seed}").content == wanted, seed
        assert get(f"/stream-bytes/1000?seed={seed}&chunk_size=7").content == wanted, seed
    assert get("/bytes/64").content != get("/bytes/64").content and len(get("/bytes/64").content) == 64
    letters = bytes(97 + at % 26 for at in range(1000))
    for asked, code, told, wanted in (
        (None, 200, "bytes 0-999/1000", letters),
        ("bytes=5-9", 206, "bytes 5-9/1000", letters[5:10]),
        ("bytes=990-", 206, "bytes 990-999/1000", letters[990:]),
        ("bytes=-3", 206, "bytes 997-999/1000", letters[-3:]),
        ("bytes=0-999", 200, "bytes 0-999/1000", letters),
        ("bytes=1000-", 416, "bytes */1000", b""),
    ):
        answer = get("/range/1000", headers={"Range": asked})
        assert (answer.status_code, answer.headers["Content-Range"], answer.content) == (code, told, wanted), asked
        assert (answer.headers["ETag"], answer.headers["Accept-Ranges"]) == ("range1000", "bytes")
    text = "hullo, wörld? ~"
    for encoded in (base64.urlsafe_b64encode(text.encode()), base64.b64encode(text.encode()).rstrip(b"=")):
        assert get("/base64/" + encoded.decode().replace("/", "%2F")).text == text
    assert get("/base64/encode/hullo").text == "aHVsbG8=" and get("/base64/!").status_code == 400
    page = get("/links/3")
    assert page.url == root + "/links/3/0" and re.findall("href='(.*?)'", page.text) == ["/links/3/1", "/links/3/2"]


def over_time():
    begun = time.monotonic()
    assert requests.post(root + "/delay/0.5", data={"a": "1"}).json()["form"] == {"a": "1"}
    assert 0.5 <= time.monotonic() - begun < 5
    begun = time.monotonic()
    answer = get("/drip?numbytes=3&duration=0.6&code=201", stream=True)
    came = [(time.monotonic() - begun, piece) for piece in answer.raw.stream(1)]
    assert answer.status_code == 201 and [piece for _, piece in came] == [b"*"] * 3
    assert came[2][0] - came[0][0] > 0.4, came
    lines = [json.loads(line) for line in get("/stream/3", stream=True).iter_lines()]
    assert [line["id"] for line in lines] == [0, 1, 2] and lines[0]["url"] == root + "/stream/3"
    events = get("/sse?count=2&duration=0.2")
    assert events.headers["Content-Type"] == "text/event-stream"
    assert re.fullmatch(r'(event: ping\ndata: \{"id":\d,"timestamp":\d{13}\}\n\n){2}', events.text), events.text
    assert len(get("/jsonl?count=2&duration=0.2").text.splitlines()) == 2


def every_line_of_the_page():
    page = get("/").text
    table = json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])
    routes = [route for group in table["groups"] for route in group["routes"]]
    assert len(routes) > 60
    # Python's own client takes any response but 100 for the last one; curl is asked that.
    early = ("/early-hints",)
    cases = [(method, route) for route in routes for method in route["methods"] if route["path"] not in early]
    ask = lambda case: requests.request(case[0], root + case[1]["example"], allow_redirects=False).status_code
    # At once, since some of them take their time.
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(ask, cases))
    for (method, route), code in zip(cases, codes):
        assert code in (200, 302, 307, 401, 404, 418, 426) or (code, route["path"]) == (500, "/unstable"), (code, route)
        assert (code == 404) == route["path"].startswith("/hidden-basic-auth"), (method, route)


for test in (methods, what_came, auth, statuses, redirects, cookies, responses, formats, data, over_time, every_line_of_the_page):
    test()
    print("good:", test.__name__)
