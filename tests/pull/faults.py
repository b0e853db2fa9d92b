"""What goes wrong while clients pull, how it is mended, and within what time their pulls must have succeeded.

Each fault also cuts what is being transferred, so that all clients meet it and none merely gets the rest.

A client that gives up is started again at once, as a kubelet does later; the time runs on.
"""

from dataclasses import dataclass
from typing import Callable

from world import Steered, World

# To whom the configuration of the last fault moves the clients of each mirror.
MOVES = {"aws": "gcp", "gcp": "lab", "lab": "aws"}


@dataclass(frozen=True)
class Fault:
    """A fault of a network's mirror, or of Pharos itself."""

    name: str
    # Within so many seconds from its start a pull has succeeded. Where nothing fails it takes two to five, with all
    # clients at once on two cores; a mirror is left within one second, resolvers keep an answer for up to two, docker
    # waits for five before it tries again, and what gives up starts anew.
    seconds: int
    begin: Callable[[World, Steered], None]
    end: Callable[[World, Steered], None]
    # Whether the client's own mirror must have served all of it nevertheless.
    stays: bool = False
    # Whether the mirror must have served some of it to whom the clients are moved.
    moves: bool = False


def nothing(_world: World, _network: Steered):
    pass


def mirror(world: World, network: Steered):
    return world.mirrors[network.mirror]


def move(world: World, network: Steered):
    world.write_config({network.mirror: MOVES[network.mirror]})
    world.reload_pharos()
    # Whoever comes back for the rest is to find the other mirror.
    mirror(world, network).cut()


def move_back(world: World, _network: Steered):
    world.write_config()
    world.reload_pharos()


NONE = Fault("none", 30, nothing, nothing, stays=True)

FAULTS = [
    Fault("mirror dies", 40, lambda w, n: mirror(w, n).die(), lambda w, n: mirror(w, n).start()),
    Fault(
        "wrong certificate", 40,
        lambda w, n: mirror(w, n).present("wrong"), lambda w, n: mirror(w, n).present("certs"),
    ),
    Fault(
        "one blob lost", 40,
        lambda w, n: mirror(w, n).lose(w.image.layers[-1]), lambda w, n: mirror(w, n).fill(),
    ),
    Fault("corrupt bytes", 40, lambda w, n: mirror(w, n).corrupt(), lambda w, n: mirror(w, n).fill()),
    Fault("Pharos restarts", 40, lambda w, n: w.restart_pharos(mirror(w, n).cut), nothing),
    Fault("client is moved", 40, move, move_back, moves=True),
]
