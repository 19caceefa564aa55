"""Machines of a job on this one, for the tests of what several machines do."""

import socket
from concurrent.futures import ThreadPoolExecutor

from runner.rendezvous import Places


def free_ports(count):
    """That many ports of this machine that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def places(size):
    """What each of `size` machines of a job, all of them this one, knows of it."""
    addresses = [("127.0.0.1", port) for port in free_ports(size)]
    names = [f"worker {index} ({host}:{port})" for index, (host, port) in enumerate(addresses)]
    return [Places(names, addresses, number) for number in range(size)]


def on_all(function, machines):
    """What a function gives on each machine, called at the same time; an exception is a result."""

    def call(machine):
        try:
            return function(machine)
        except (OSError, ValueError) as error:
            return error

    with ThreadPoolExecutor(len(machines)) as pool:
        return list(pool.map(call, machines))
