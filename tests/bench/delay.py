#!/usr/bin/env python3
"""delay.py RTT_MS TARGET_HOST:PORT PORT... : passes connections to the ports (of loopback) on to the target, each byte half a
round trip late in either direction, and the first ones a whole one more, for the connection itself. No slow start and no
limit of what goes through: for counting round trips. A line "bytes N" is written for SIGUSR1: what came from the target since
the last one."""
import asyncio
import signal
import sys

received = 0


async def pipe(reader, writer, late, first, counts):
    global received
    queue = asyncio.Queue()
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def send():
        while True:
            at, data = await queue.get()
            await asyncio.sleep(max(0, at - loop.time()))
            if not data:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()

    sender = asyncio.create_task(send())
    try:
        while True:
            data = await reader.read(1 << 16)
            if counts:
                received += len(data)
            queue.put_nowait((max(loop.time(), begun + first) + late, data))
            if not data:
                break
        await sender
    except (ConnectionError, OSError):
        sender.cancel()
        writer.close()


async def main():
    late = float(sys.argv[1]) / 2000
    host, port = sys.argv[2].rsplit(":", 1)

    async def serve(reader, writer):
        to_reader, to_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pipe(reader, to_writer, late, 2 * late, False), pipe(to_reader, writer, late, 0, True))
        for one in (writer, to_writer):
            one.close()

    def tell():
        global received
        print("bytes", received, flush=True)
        received = 0

    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)
    servers = [await asyncio.start_server(serve, "127.0.0.1", int(one)) for one in sys.argv[3:]]
    print("ready", flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main())
