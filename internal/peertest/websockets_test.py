"""What python3-websockets finds: messages in fragments, pings, close codes,
compression with context takeover, a thousand connections.

TROUPE_URL is where the server of server_test.go is, ws:// or wss://; TROUPE_CA is
who has certified it; TROUPE_BEHIND is set if a proxy is between.
"""

import asyncio
import json
import os
import random
import ssl
import unittest

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

SERVER = os.environ["TROUPE_URL"]
TLS = ssl.create_default_context(cafile=os.environ["TROUPE_CA"]) if SERVER.startswith("wss:") else None
PATIENCE = 180  # seconds


def connect(path, **options):
    options.setdefault("compression", None)
    return websockets.connect(SERVER + path, ssl=TLS, open_timeout=PATIENCE, close_timeout=PATIENCE, **options)


def messages():
    """Messages that are like each other, of many sizes, and some noise."""
    yield ""
    yield "x"
    for i in range(150):
        if i % 5 == 0:
            yield random.Random(i).randbytes(i * 40)
            continue
        s = ""
        while len(s) < i * i * 7 % 40_000:
            s += json.dumps({"id": i * len(s), "user": f"user-{i % 7}", "text": "grüß dich"})
        yield s
    yield "a" * 900_000


class Peer(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        asyncio.get_running_loop().set_debug(False)  # which takes most of the time

    async def echoes(self, path, **options):
        async with connect(path, **options) as socket:
            agreed = [e.name for e in socket.extensions]
            self.assertEqual(agreed, ["permessage-deflate"] if "extensions" in options else [])
            for i, message in enumerate(messages()):
                if i % 10 == 3 and isinstance(message, str):  # in fragments
                    await socket.send([message[:10], message[10:20], message[20:]])
                else:
                    await socket.send(message)
                self.assertEqual(await asyncio.wait_for(socket.recv(), PATIENCE), message)
        self.assertEqual(socket.close_code, 1000)

    async def test_offers(self):
        offers = [
            {},
            {"client_max_window_bits": True},
            {"server_no_context_takeover": True},
            {"client_no_context_takeover": True},
        ]
        for bits in range(8, 16) if TLS is None else ():  # TLS makes no difference
            offers.append({"server_max_window_bits": bits, "client_max_window_bits": max(23 - bits, 9)})
        for path in ("/none", "/takeover"):
            for offer in offers:
                with self.subTest(path=path, offer=offer):
                    await self.echoes(path, extensions=[ClientPerMessageDeflateFactory(**offer)])

    @unittest.skipIf(TLS, "the bytes on the wire are those of TLS")
    async def test_refers_back_or_not(self):
        """What was said before is said again only where no context is taken over."""
        text = random.Random(1).randbytes(750).hex()  # half of its size by itself
        for path, again in (("/takeover", lambda n: n < 100), ("/none", lambda n: n > 700)):
            async with connect(path, compression="deflate") as socket:
                sent = []
                write = socket.transport.write
                socket.transport.write = lambda data: (sent.append(len(data)), write(data))
                for i in range(4):
                    sent.clear()
                    await socket.send(text)
                    self.assertEqual(await asyncio.wait_for(socket.recv(), PATIENCE), text)
                    if i > 0:
                        self.assertTrue(again(sum(sent)), (path, sent))

    async def test_uncompressed(self):
        for path in ("/echo", "/takeover"):
            with self.subTest(path=path):
                await self.echoes(path)

    async def test_fragments(self):
        for path, options in (("/echo", {}), ("/takeover", {"compression": "deflate"})):
            async with connect(path, max_size=None, **options) as socket:
                large = random.Random(1).randbytes(1 << 20)
                for size in (1000, 65_536):
                    await socket.send([large[i : i + size] for i in range(0, len(large), size)])
                    await asyncio.wait_for(await socket.ping(), PATIENCE)
                    self.assertEqual(await asyncio.wait_for(socket.recv(), PATIENCE), large)

    async def test_pings(self):
        async with connect("/echo") as socket:
            for data in (b"", b"x", b"y" * 125):
                await asyncio.wait_for(await socket.ping(data), PATIENCE)
            await socket.pong(b"unasked")
            await socket.send("after it")
            self.assertEqual(await asyncio.wait_for(socket.recv(), PATIENCE), "after it")

    async def test_close_codes(self):
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999):
            with self.subTest(code=code):
                theirs = await connect("/close")
                await theirs.close(code, "grüß dich")
                self.assertEqual(theirs.close_code, code)
                ours = await connect("/close")
                await ours.send(f"{code} grüß dich")
                with self.assertRaises(websockets.ConnectionClosed):
                    await asyncio.wait_for(ours.recv(), PATIENCE)
                await ours.wait_closed()
                self.assertEqual((ours.close_code, ours.close_reason), (code, "grüß dich"))

    async def test_too_big(self):
        for path, options in (("/echo", {}), ("/takeover", {"compression": "deflate"})):
            with self.subTest(path=path):
                socket = await connect(path, **options)
                with self.assertRaises(websockets.ConnectionClosed):
                    await socket.send(b"\0" * (5 << 20))
                    await asyncio.wait_for(socket.recv(), PATIENCE)
                await socket.wait_closed()
                # nginx closes both its sides when we have said the last word: what a
                # client is still sending then resets its connection, and may overtake
                # the close frame.
                if "TROUPE_BEHIND" not in os.environ or socket.close_code != 1006:
                    self.assertEqual(socket.close_code, 1009)

    async def test_a_thousand(self):
        async def client(i):
            async with few:
                socket = await connect("/takeover", compression="deflate")
            for message in (f"client {i}", f"client {i} again", "x" * 5000):
                await socket.send(message)
                self.assertEqual(await socket.recv(), message)
            here.append(i)
            if len(here) == 1000:
                everybody.set()
            await everybody.wait()
            await socket.close()
            self.assertEqual(socket.close_code, 1000)

        here, everybody, few = [], asyncio.Event(), asyncio.Semaphore(100)
        await asyncio.gather(*(client(i) for i in range(1000)))


if __name__ == "__main__":
    unittest.main()
