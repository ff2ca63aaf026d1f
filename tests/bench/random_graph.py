#!/usr/bin/env python3
"""Makes a project of images that stand on each other at random; the same one for the same seed.

random_graph.py sleeping COUNT SEED DIR   each image sleeps 0.2 to 3 s when it is built, by a busybox that it is given
random_graph.py tiny COUNT SEED DIR       each image is one small file

DIR/imageN is image N's directory; image N stands on images of a lower number only (FROM the first, COPY --from the
others), or on none. DIR/imagewright.yml names them in another order. DIR/graph.json says, for who checks: a list with
each image's name, its parents' names and, of sleeping ones, its seconds.
"""

import json
import os
import random
import shutil
import sys


def parents_of(number, chance):
    """At most three of the images before; for the first ones there are fewer."""
    count = chance.choices([0, 1, 2, 3], [25, 45, 20, 10])[0]
    return chance.sample(range(number), min(count, number))


def dockerfile(number, parents, seconds):
    lines = ["FROM " + (f"bench/image{parents[0]}" if parents else "scratch")]
    lines += [f"COPY --from=bench/image{parent} /file{parent} /of{parent}" for parent in parents[1:]]
    if seconds and not parents:
        lines.append("COPY busybox /")
    lines.append(f"COPY file /file{number}")
    if seconds:
        lines.append(f'RUN ["/busybox", "sleep", "{seconds}"]')
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) != 5 or sys.argv[1] not in ("sleeping", "tiny"):
        sys.exit("usage: random_graph.py sleeping|tiny COUNT SEED DIR")
    kind, count, seed, root = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    chance = random.Random(seed)
    graph = []
    for number in range(count):
        parents = parents_of(number, chance)
        seconds = round(chance.uniform(0.2, 3), 2) if kind == "sleeping" else 0
        directory = os.path.join(root, f"image{number}")
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, "Dockerfile"), "w") as file:
            file.write(dockerfile(number, parents, seconds))
        with open(os.path.join(directory, "file"), "w") as file:
            file.write(f"content {number}\n")
        if seconds and not parents:
            shutil.copy(shutil.which("busybox"), os.path.join(directory, "busybox"))
        graph.append({"name": f"bench/image{number}", "parents": [f"bench/image{p}" for p in parents],
                      "seconds": seconds})
    with open(os.path.join(root, "graph.json"), "w") as file:
        json.dump(graph, file)
    order = list(range(count))
    chance.shuffle(order)
    with open(os.path.join(root, "imagewright.yml"), "w") as file:
        file.write("builder:\n  images:\n")
        for number in order:
            file.write(f"  - {{name: bench/image{number}, from: image{number}}}\n")


main()
