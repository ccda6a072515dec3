"""Compression as python3-websockets speaks it.

TROUPE_ECHO is host and port of ./echo, which it prints.
"""

import asyncio
import json
import os
import random
import unittest

import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

ADDRESS = os.environ["TROUPE_ECHO"]


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


class Compression(unittest.IsolatedAsyncioTestCase):
    async def echoes(self, path, **offer):
        factory = ClientPerMessageDeflateFactory(**offer)
        uri = f"ws://{ADDRESS}{path}"
        async with websockets.connect(uri, extensions=[factory], compression=None) as socket:
            self.assertEqual([e.name for e in socket.extensions], ["permessage-deflate"])
            for i, message in enumerate(messages()):
                if i % 10 == 3 and isinstance(message, str):  # in fragments
                    await socket.send([message[:10], message[10:20], message[20:]])
                else:
                    await socket.send(message)
                self.assertEqual(await asyncio.wait_for(socket.recv(), 20), message)
        self.assertEqual(socket.close_code, 1000)

    async def test_offers(self):
        offers = [
            {},
            {"client_max_window_bits": True},
            {"server_no_context_takeover": True},
            {"client_no_context_takeover": True},
        ]
        for bits in range(8, 16):
            offers.append({"server_max_window_bits": bits, "client_max_window_bits": max(23 - bits, 9)})
        for path in ("/none", "/takeover"):
            for offer in offers:
                with self.subTest(path=path, offer=offer):
                    await self.echoes(path, **offer)

    async def test_refers_back_or_not(self):
        """What was said before is said again only where no context is taken over."""
        text = random.Random(1).randbytes(750).hex()  # half of its size by itself
        for path, again in (("/takeover", lambda n: n < 100), ("/none", lambda n: n > 700)):
            uri = f"ws://{ADDRESS}{path}"
            async with websockets.connect(uri, compression="deflate") as socket:
                sent = []
                write = socket.transport.write
                socket.transport.write = lambda data: (sent.append(len(data)), write(data))
                for i in range(4):
                    sent.clear()
                    await socket.send(text)
                    self.assertEqual(await asyncio.wait_for(socket.recv(), 20), text)
                    if i > 0:
                        self.assertTrue(again(sum(sent)), (path, sent))


if __name__ == "__main__":
    unittest.main()
