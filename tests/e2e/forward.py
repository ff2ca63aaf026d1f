"""Passes connections on: forward.py ADDRESS PORT, to the same port of 127.0.0.1. Until it is killed."""
import socket
import sys
import threading


def pump(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side has gone


def main(address, port):
    listener = socket.create_server((address, int(port)))
    while True:
        near, _ = listener.accept()
        far = socket.create_connection(("127.0.0.1", int(port)))
        for pair in ((near, far), (far, near)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


main(*sys.argv[1:])
