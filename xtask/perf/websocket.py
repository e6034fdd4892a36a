"""python3 websocket.py PORT [uvloop]: a WebSocket echo with websockets, on asyncio's own loop or on uvloop."""

import asyncio
import sys

import websockets


async def echo(peer):
    async for message in peer:
        await peer.send(message)


async def main():
    async with websockets.serve(echo, "127.0.0.1", int(sys.argv[1]), compression=None):
        await asyncio.get_running_loop().create_future()


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
