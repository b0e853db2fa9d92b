"""A network of clients."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """Clients of one place, with their resolver and the mirror that they are to get."""

    name: str
    address: str
    resolver: str
    mirror: str

    @property
    def is_v6(self) -> bool:
        return ":" in self.address

    @property
    def length(self) -> int:
        return 64 if self.is_v6 else 24

    @property
    def gateway(self) -> str:
        return self.address[: -len("5")] + "1"
