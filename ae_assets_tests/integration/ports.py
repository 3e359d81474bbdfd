"""A port that nobody listens on."""

import socket


def free_port() -> int:
    """A loopback port that the system just gave out."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
