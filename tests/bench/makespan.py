#!/usr/bin/env python3
"""Holds a run of several builds at once against an ideal list schedule of the same builds.

makespan.py IMAGEWRIGHT DIR JOBS RUNS     DIR is of random_graph.py; all of it was built before

Each run: a file of every context is changed, so that all is stale, and all is built. The ideal takes of what is ready
the image with the longest way behind it (its own time included) as soon as one of JOBS places is free; its durations
are those that the engine took for each build in that same run, as the state has them (`build`). It shares no code with
core/schedule, and its dependencies come from graph.json.

Prints one line a run, of numbers with blanks between, in seconds:
  ideal        the ideal's makespan
  builds       from the first start of an engine to the last one's end, by the state's times
  from start   from the first build-started event (`--json`) to the run's end
  whole        the whole run, by a clock outside of it: from before its process is made until that has ended
  sum way      what all builds took together; the longest way through them
"""

import heapq
import json
import os
import sqlite3
import subprocess
import sys
import time


def ideal(graph, durations, jobs):
    children = {image["name"]: [] for image in graph}
    for image in graph:
        for parent in image["parents"]:
            children[parent].append(image["name"])
    ways = {}
    for image in reversed(graph):  # parents come first in it
        name = image["name"]
        ways[name] = durations[name] + max((ways[child] for child in children[name]), default=0)
    waits_for = {image["name"]: len(image["parents"]) for image in graph}
    ready = [(-ways[name], name) for name, count in waits_for.items() if count == 0]
    heapq.heapify(ready)
    running = []  # (end, name)
    now = 0
    while ready or running:
        while ready and len(running) < jobs:
            _, name = heapq.heappop(ready)
            heapq.heappush(running, (now + durations[name], name))
        now, name = heapq.heappop(running)
        for child in children[name]:
            waits_for[child] -= 1
            if waits_for[child] == 0:
                heapq.heappush(ready, (-ways[child], child))
    return now, sum(durations.values()), max(ways.values())


def run(imagewright, root, graph, jobs):
    for image in graph:
        directory = os.path.join(root, image["name"].removeprefix("bench/"))
        with open(os.path.join(directory, "file"), "w") as file:
            file.write(f"{image['name']} at {time.time_ns()}\n")
    time.sleep(0.1)  # nothing was written in the last tick of the clock: there is nothing to wait for
    began = time.monotonic()
    config = os.path.join(root, "imagewright.yml")
    process = subprocess.Popen([imagewright, "build", "--json", "-j", str(jobs), config], stdout=subprocess.PIPE,
                               text=True)
    first = built = None
    wrong = []
    for line in process.stdout:
        now = time.monotonic()
        event = json.loads(line)
        if event["event"] == "build-started" and first is None:
            first = now
        if event["event"] == "image-finished" and event["result"] != "built":
            wrong.append(f"{event['image']}: {event['result']} {event['message'] or ''}")
        if event["event"] == "run-finished":
            end, built = now, event["built"]
    process.wait()
    whole = time.monotonic() - began
    if built != len(graph):
        sys.exit(f"makespan: {built} of {len(graph)} images were built; {wrong[:3]}")
    state = sqlite3.connect("file:" + os.path.join(root, ".builder.state.db") + "?mode=ro", uri=True)
    rows = state.execute("SELECT name, started_ms, duration_ms FROM build WHERE id IN "
                         "(SELECT max(id) FROM build GROUP BY name)").fetchall()
    durations = {name: duration / 1000 for name, _, duration in rows}
    builds = (max(row[1] + row[2] for row in rows) - min(row[1] for row in rows)) / 1000
    best, total, way = ideal(graph, durations, jobs)
    print(f"{best:.3f} {builds:.3f} {end - first:.3f} {whole:.3f} {total:.3f} {way:.3f}", flush=True)


def main():
    if len(sys.argv) != 5:
        sys.exit("usage: makespan.py IMAGEWRIGHT DIR JOBS RUNS")
    with open(os.path.join(sys.argv[2], "graph.json")) as file:
        graph = json.load(file)
    for _ in range(int(sys.argv[4])):
        run(sys.argv[1], sys.argv[2], graph, int(sys.argv[3]))


main()
