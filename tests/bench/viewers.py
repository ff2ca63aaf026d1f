#!/usr/bin/env python3
"""Many viewers of one job's log, and what the API takes meanwhile.

    viewers.py URL TOKEN JOB VIEWERS SECONDS

Opens VIEWERS server-sent event streams of the job's log, then asks for /api/v1/jobs over one connection, one request
after the other with 20 ms between, for SECONDS. Prints the number of requests, their median and 99th percentile in
milliseconds, how many viewers are still connected, the bytes that the slowest and the fastest one got, and the server's
resident memory in MB.
"""
import asyncio
import re
import sys
import time
from urllib.parse import urlparse


async def view(host, port, token, job, got, number):
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 20)
    writer.write(f"GET /api/v1/jobs/{job}/log HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/event-stream\r\n"
                 f"Authorization: Bearer {token}\r\n\r\n".encode())
    got[number] = 0
    while part := await reader.read(1 << 16):
        got[number] += len(part)
    del got[number]


async def ask(reader, writer, host, port, token, path):
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    body = await reader.readexactly(int(length.group(1)))
    if not head.startswith(b"HTTP/1.1 200"):
        sys.exit(f"viewers: {path}: {head.splitlines()[0].decode()}")
    return body


async def main():
    url, token, job, viewers, seconds = sys.argv[1:6]
    host, port = urlparse(url).hostname, urlparse(url).port
    got = {}
    tasks = [asyncio.create_task(view(host, port, token, job, got, n)) for n in range(int(viewers))]
    while len(got) < int(viewers):
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 24)
    times = []
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        begun = time.monotonic()
        await ask(reader, writer, host, port, token, "/api/v1/jobs?limit=20")
        times.append((time.monotonic() - begun) * 1000)
        await asyncio.sleep(0.02)
    metrics = (await ask(reader, writer, host, port, token, "/metrics")).decode()
    resident = int(re.search(r"(?m)^process_resident_memory_bytes (\d+)", metrics).group(1))
    times.sort()
    least, most = (min(got.values()), max(got.values())) if got else (0, 0)
    print(f"{len(times)} {times[len(times) // 2]:.2f} {times[int(len(times) * 0.99)]:.2f} {len(got)} {least} {most} "
          f"{resident / 1e6:.0f}")
    for task in tasks:
        task.cancel()


asyncio.run(main())
