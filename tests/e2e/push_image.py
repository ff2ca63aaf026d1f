#!/usr/bin/env python3
"""Pushes to REFERENCE, which is HOST:PORT/NAME[:TAG], by calls of the registry's HTTP API; same input, same digests.

push_image.py base REFERENCE TEXT [PLATFORM] [OPTIONS]
    An image of one gzip layer with /base.txt, that has TEXT and a newline in it. PLATFORM is OS/ARCHITECTURE[/VARIANT],
    by default this machine's. Prints the digests of its configuration and of its manifest.
        --env NAME=VALUE, --onbuild INSTRUCTION   in its configuration; any number of these
        --config JSON                             an object with more for the "config" of its configuration
        --busybox                                 a second layer: this machine's busybox, with links for all its applets
push_image.py index REFERENCE PLATFORM=MANIFEST_DIGEST... [OPTIONS]
    A manifest list over manifests that the repository has. Prints its digest.

Of both:
    --oci                    OCI's media types instead of Docker's (manifest schema 2)
    --by-digest              no tag: by its digest only
    --user USER:PASSWORD     for basic authentication, or to get tokens, whatever the registry asks for
    --token TOKEN            a bearer token
    --ca FILE                https, with this authority's certificate, instead of http
"""
import argparse
import base64
import gzip
import hashlib
import io
import json
import platform
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
import urllib.error
import urllib.parse
import urllib.request

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm/v7"}
CREATED = "2020-01-01T00:00:00Z"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def as_json(value):
    return json.dumps(value, indent=3).encode()


class Repository:
    def __init__(self, options):
        host, _, path = options.reference.partition("/")
        self.name, _, tag = path.partition(":")
        self.tag = None if options.by_digest else tag or "latest"
        self.url = "%s://%s/v2/%s/" % ("https" if options.ca else "http", host, self.name)
        self.user = options.user
        self.authorization = "Bearer " + options.token if options.token else None
        handlers = [urllib.request.ProxyHandler({})]  # none, whatever the environment says
        if options.ca:
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=options.ca)))
        self.opener = urllib.request.build_opener(*handlers)

    def open(self, method, url, data=None, headers=(), authorization=None):
        request = urllib.request.Request(url, data, dict(headers), method=method)
        if authorization:
            request.add_unredirected_header("Authorization", authorization)
        return self.opener.open(request, timeout=60)

    def call(self, method, where, data=None, headers=()):
        url = urllib.parse.urljoin(self.url, where)
        for is_again in (False, True):
            try:
                return self.open(method, url, data, headers, self.authorization)
            except urllib.error.HTTPError as error:
                if error.code != 401 or not self.user or is_again:
                    sys.exit("push_image: %s %s: %d %s" % (method, url, error.code, error.read().decode()))
                self.authorization = self.answer_to(error.headers["WWW-Authenticate"])
            except urllib.error.URLError as error:
                sys.exit("push_image: %s %s: %s" % (method, url, error.reason))

    def answer_to(self, challenge):
        basic = "Basic " + base64.b64encode(self.user.encode()).decode()
        if challenge.lower().startswith("basic"):
            return basic
        asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = urllib.parse.urlencode({key: asked[key] for key in ("service", "scope") if key in asked})
        with self.open("GET", asked["realm"] + "?" + query, authorization=basic) as response:
            return "Bearer " + json.load(response)["token"]

    def push_blob(self, data, media_type):
        """Its descriptor."""
        digest = digest_of(data)
        with self.call("POST", "blobs/uploads/", b"") as response:
            place = urllib.parse.urljoin(self.url, response.headers["Location"])
        place += ("&" if "?" in place else "?") + urllib.parse.urlencode({"digest": digest})
        self.call("PUT", place, data, {"Content-Type": "application/octet-stream"}).close()
        return {"mediaType": media_type, "size": len(data), "digest": digest}

    def push_manifest(self, manifest):
        data = as_json(manifest)
        where = "manifests/" + (self.tag or digest_of(data))
        self.call("PUT", where, data, {"Content-Type": manifest["mediaType"]}).close()
        return digest_of(data)

    def descriptor(self, digest):
        accept = {"Accept": ", ".join((DOCKER, OCI))}
        with self.call("HEAD", "manifests/" + digest, headers=accept) as response:
            media_type, size = response.headers["Content-Type"], int(response.headers["Content-Length"])
        return {"mediaType": media_type, "size": size, "digest": digest}


def tar_of(entries):
    """Of (path, what): a file's bytes, a link's target, None for a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, what, mode in entries:
            entry = tarfile.TarInfo(path)
            entry.mode = mode
            if what is None:
                entry.type = tarfile.DIRTYPE
            elif isinstance(what, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, what
            else:
                entry.size = len(what)
            tar.addfile(entry, io.BytesIO(what) if isinstance(what, bytes) else None)
    return out.getvalue()


def busybox_layer():
    path = shutil.which("busybox") or sys.exit("push_image: no busybox")
    with open(path, "rb") as file:
        program = file.read()
    applets = subprocess.run([path, "--list"], capture_output=True, check=True, text=True).stdout.split()
    links = [("bin/" + applet, "busybox", 0o777) for applet in sorted(set(applets) - {"busybox"})]
    return tar_of([("bin", None, 0o755), ("bin/busybox", program, 0o755)] + links)


def platform_of(text):
    parts = text.split("/")
    return dict(zip(("architecture", "os", "variant"), (parts[1], parts[0], *parts[2:])))


def this_platform():
    machine = platform.machine()
    return "linux/" + ARCHITECTURES.get(machine, machine)


def push_base(options):
    repository = Repository(options)
    tars = [tar_of([("base.txt", options.text.encode() + b"\n", 0o644)])]
    if options.busybox:
        tars.append(busybox_layer())
    inner = json.loads(options.config)
    if options.env:
        inner["Env"] = options.env
    if options.onbuild:
        inner["OnBuild"] = options.onbuild
    config = {
        **platform_of(options.platform),
        "created": CREATED,
        "config": inner,
        "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
        "history": [{"created": CREATED, "created_by": "push_image"} for _ in tars],
    }
    layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    config_type = "application/vnd.docker.container.image.v1+json"
    if options.oci:
        layer_type = "application/vnd.oci.image.layer.v1.tar+gzip"
        config_type = "application/vnd.oci.image.config.v1+json"
    layers = [repository.push_blob(gzip.compress(tar, 6, mtime=0), layer_type) for tar in tars]
    described = repository.push_blob(as_json(config), config_type)
    manifest = repository.push_manifest({
        "schemaVersion": 2,
        "mediaType": OCI if options.oci else DOCKER,
        "config": described,
        "layers": layers,
    })
    print(described["digest"], manifest)


def push_index(options):
    repository = Repository(options)
    manifests = []
    for one in options.manifests:
        of, digest = one.split("=", 1)
        manifests.append({**repository.descriptor(digest), "platform": platform_of(of)})
    print(repository.push_manifest({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX if options.oci else DOCKER_LIST,
        "manifests": manifests,
    }))


def main():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("reference")
    common.add_argument("--oci", action="store_true")
    common.add_argument("--by-digest", action="store_true")
    common.add_argument("--user")
    common.add_argument("--token")
    common.add_argument("--ca")
    base = argparse.ArgumentParser("push_image.py base", parents=[common])
    base.add_argument("text")
    base.add_argument("platform", nargs="?", default=this_platform())
    base.add_argument("--env", action="append")
    base.add_argument("--onbuild", action="append")
    base.add_argument("--config", default="{}")
    base.add_argument("--busybox", action="store_true")
    index = argparse.ArgumentParser("push_image.py index", parents=[common])
    index.add_argument("manifests", nargs="+")
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what == "base":
        push_base(base.parse_intermixed_args(sys.argv[2:]))
    elif what == "index":
        push_index(index.parse_intermixed_args(sys.argv[2:]))
    else:
        sys.exit(__doc__)


main()
