"""aiohttp as the client: many at once, chunked uploads, events as they come, and WebSockets. argv[1] is the server."""

import asyncio, hashlib, json, sys, time
import aiohttp

root = sys.argv[1]


async def pieces():
    for number in range(20):
        yield b"piece %d " % number


async def main():
    # Its jar takes no cookies of an address in numbers, unless it is told to.
    async with aiohttp.ClientSession(root, cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:

        async def asked(method, path, **more):
            async with client.request(method, path, **more) as answer:
                return answer.status, await answer.json()

        status, told = await asked("POST", "/post", data=pieces())
        assert (status, told["data"]) == (200, "".join(f"piece {number} " for number in range(20)))
        form = aiohttp.FormData()
        form.add_field("file", b"\x00\xff", filename="a.bin", content_type="application/x-noise")
        form.add_field("name", "Ada")
        told = (await asked("POST", "/post", data=form))[1]
        assert told["files"] == {"file": "data:application/x-noise;base64,AP8="} and told["form"] == {"name": "Ada"}, told

        begun = time.monotonic()
        told = await asyncio.gather(*(asked("GET", f"/delay/0.5?n={n}") for n in range(50)))
        assert [answer["args"]["n"] for _, answer in told] == [str(n) for n in range(50)]
        assert time.monotonic() - begun < 5, "one after the other"

        async with client.get("/sse?count=3&duration=0.6") as events:
            came = []
            async for line in events.content:
                if line.startswith(b"data:"):
                    came.append((time.monotonic(), json.loads(line[5:])["id"]))
        assert [number for _, number in came] == [0, 1, 2] and came[2][0] - came[0][0] > 0.4, came

        async with client.ws_connect("/websocket/echo") as talk:
            for text in ("hullo", "", "ü" * 1000):
                await talk.send_str(text)
                assert await talk.receive_str() == text
            await talk.send_bytes(b"\x00\xff")
            assert await talk.receive_bytes() == b"\x00\xff"
        try:
            await client.ws_connect("/get")
            raise AssertionError("a WebSocket where there is none")
        except aiohttp.WSServerHandshakeError as error:
            assert error.status == 200, error
        async with client.get("/websocket/echo") as answer:
            assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")

        async with client.get("/range/5000?chunk_size=100") as answer:
            assert hashlib.md5(await answer.read()).hexdigest() == hashlib.md5(bytes(97 + at % 26 for at in range(5000))).hexdigest()
        assert (await asked("GET", "/cookies/set?a=b"))[1] == {"cookies": {"a": "b"}}

    # Clients of each qop that there is. Whoever has not this middleware yet goes without.
    if hasattr(aiohttp, "DigestAuthMiddleware"):
        for algorithm in ("MD5", "SHA-256", "SHA-512"):
            for qop in ("auth", "auth-int"):
                digest = aiohttp.DigestAuthMiddleware(login="ada", password="secret")
                jar = aiohttp.DummyCookieJar()
                async with aiohttp.ClientSession(root, middlewares=(digest,), cookie_jar=jar) as client:
                    async with client.get(f"/digest-auth/{qop}/ada/secret/{algorithm}") as answer:
                        assert answer.status == 200, (algorithm, qop, answer.headers)
    print("good")


asyncio.run(main())
