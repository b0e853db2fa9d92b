"""The parts of every run: networks of clients around one network of servers, the canonical registry, Pharos, resolvers."""

import re
import shutil
import signal
import subprocess
from pathlib import Path

from clients import Client
from image import Image
from needs import missing, skip
from network import Network
from system import Failed, System, run, until

SERVERS = "servers"


class Stage:
    """Servers in one namespace, and a namespace for each network of clients."""

    # The addresses of the canonical registry, and its name.
    canonical: list[str] = []
    canonical_name = ""
    # The repository of the image there.
    repository = "demo"

    def __init__(self, system: System, pharos: Path, networks: list[Network]):
        self.system, self.pharos, self.networks = system, pharos, networks
        self.image = Image(system.folder / "image")
        self.registry_log = system.folder / "registry.log"
        self.pharos_process = None

    def make_network(self, resolver: str, addresses: list[str]):
        """The servers with their addresses, and the networks of clients around them."""
        self.system.namespace(SERVERS, resolver)
        for address in addresses:
            length = 128 if ":" in address else 32
            run(["ip", "-n", self.system.name(SERVERS), "addr", "add", f"{address}/{length}", "dev", "lo", "nodad"])
        for network in self.networks:
            self.connect(network)

    def connect(self, network: Network):
        """Makes one network, and its way to the servers."""
        system, servers = self.system, self.system.name(SERVERS)
        link = f"to{len(system.namespaces)}"
        system.namespace(network.name, network.resolver)
        client = system.name(network.name)
        run(["ip", "link", "add", link, "netns", servers, "type", "veth", "peer", "name", "uplink", "netns", client])
        nodad = ["nodad"] if network.is_v6 else []
        for end, device, address in ((servers, link, network.gateway), (client, "uplink", network.address)):
            run(["ip", "-n", end, "addr", "add", f"{address}/{network.length}", "dev", device, *nodad])
            run(["ip", "-n", end, "link", "set", device, "up"])
        run(["ip", "-n", client, "route", "add", "default", "via", network.gateway])

    @property
    def roots(self) -> Path:
        return self.system.folder / "certs" / "ca.pem"

    def listens(self, address: str, port: int = 443, where: str = SERVERS) -> bool:
        return address in self.system.output(where, "ss", "-Hltn", f"sport = :{port}")

    def start_registry(self):
        folder = self.system.folder
        # It listens at one address, so there are two of it with one store.
        for family, address in zip(("v4", "v6"), self.canonical):
            at = f"[{address}]" if ":" in address else address
            config = folder / f"registry-{family}.yml"
            config.write_text(
                f"""version: 0.1
log: {{ level: error, accesslog: {{ disabled: false }} }}
storage: {{ filesystem: {{ rootdirectory: {folder}/registry }}, delete: {{ enabled: false }} }}
http:
  addr: "{at}:443"
  tls: {{ certificate: {folder}/certs/listener.pem, key: {folder}/certs/listener.key }}
"""
            )
            self.system.start(SERVERS, "docker-registry", "serve", config, log=self.registry_log)
            until("the canonical registry", lambda at=at: self.listens(at))

    def push(self):
        trust = {"SSL_CERT_FILE": str(self.roots)}
        copy = ["skopeo", "copy", "--insecure-policy", "--quiet"]
        where = f"docker://{self.canonical_name}/{self.repository}:1"
        self.system.output(SERVERS, *copy, f"oci:{self.image.folder}:1", where, env=trust)

    def canonical_served(self) -> list[tuple[str, str, str, int]]:
        """Client, its kind, path and status of each request so far; who has a manifest already asks by HEAD alone."""
        pattern = re.compile(r'^(\S+) - - \[[^]]*\] "(?:GET|HEAD) (\S+) [^"]*" (\d+) \d+ "[^"]*" "([^"]*)"')
        found = [pattern.match(line) for line in self.registry_log.read_text().splitlines()]
        return [(match[1], match[4], match[2], int(match[3])) for match in found if match]

    def start_pharos(self, listener: str):
        """Starts it, and waits until it serves at this address."""
        log = self.system.folder / "pharos.log"
        seen = log.stat().st_size if log.exists() else 0
        config = self.system.folder / "pharos.toml"
        self.pharos_process = self.system.start(SERVERS, self.pharos, "serve", "-c", config, log=log)

        def serves():
            if self.pharos_process.poll() is not None:
                raise Failed(f"pharos ended: {log.read_text()[seen:]}")
            return self.listens(listener) and "serving " in log.read_text()[seen:]

        until("pharos", serves)

    def start_unbound(self, address: str, server: str):
        """A resolver with these lines of its own."""
        folder = self.system.folder
        config = folder / f"unbound-{address}.conf"
        config.write_text(
            f"""server:
  directory: "{folder}"
  chroot: ""
  username: ""
  pidfile: "{folder}/unbound-{address}.pid"
  use-syslog: no
  do-daemonize: no
  interface: {address}
  outgoing-interface: {address}
  access-control: 0.0.0.0/0 allow
  access-control: ::0/0 allow
  do-ip6: {"yes" if ":" in address else "no"}
  num-threads: 1
  infra-host-ttl: 1
{server}remote-control:
  control-enable: no
"""
        )
        self.system.start(SERVERS, "unbound", "-d", "-c", config, log=folder / f"unbound-{address}.log")
        until(f"unbound at {address}", lambda: self.listens(address, 53))


def prepare(stage: Stage, networks: list[Network], kinds: list[type[Client]]) -> dict[str, list[Client]]:
    """The clients of each network; of kinds that do not start here, none."""
    ready: dict[str, list[Client]] = {network.name: [] for network in networks}
    for kind in kinds:
        programs = [program for program in kind.programs if not shutil.which(program)]
        if programs:
            missing(f"{kind.kind} lacks {', '.join(programs)}")
            continue
        clients = {network.name: kind(stage.system, network, stage.roots) for network in networks}
        try:
            for client in clients.values():
                client.prepare()
            for client in clients.values():
                client.wait()
        except (AssertionError, Failed) as error:
            skip(f"{kind.kind} does not start here: {error}")
            continue
        for name, client in clients.items():
            ready[name].append(client)
    return ready


def ends_well(client: Client, process: subprocess.Popen, seconds: float) -> bool:
    """Waits for the end of a pull, and says whether it succeeded. After this time it is killed."""
    try:
        process.wait(max(0.1, seconds))
    except subprocess.TimeoutExpired:
        client.system.stop(process, signal.SIGKILL)
    client.system.forget(process)
    return process.returncode == 0
