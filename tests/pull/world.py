"""The servers: Pharos as root, parent and steered zone and as registry.k8s.io, a canonical registry, a mirror per cloud,
and two recursive resolvers. All of them are in one namespace, at addresses of their own; each client network is in another.

    client namespace 3.80.1.5 ── veth ── server namespace: 192.0.2.53 Pharos (DNS), 192.0.2.80 registry.k8s.io,
                                         192.0.2.90 canonical.k8s.io, 192.0.2.101… mirrors of blob.k8s.io,
                                         192.0.2.54 unbound with ECS, 34.28.0.53 unbound without

What clients reach has the same host number in 2001:db8::/64.
"""

import json
import re
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

from network import Network
from stage import SERVERS, Stage
from system import System, kill, run, until

PHAROS = "192.0.2.53"
PHAROS_V6 = "2001:db8::53"
LISTENER = ["192.0.2.80", "2001:db8::80"]
CANONICAL = ["192.0.2.90", "2001:db8::90"]
RESOLVER_ECS = "192.0.2.54"
# In GCP: whoever asks through it without ECS is taken to be there.
RESOLVER_PLAIN = "34.28.0.53"
MIRRORS = {
    "aws": ["192.0.2.101", "2001:db8::101"],
    "gcp": ["192.0.2.102", "2001:db8::102"],
    "lab": ["192.0.2.103", "2001:db8::103"],
}

# What each connection to a mirror gets, so that there is a middle for faults to come in.
OCTETS_A_SECOND = "400k"


@dataclass(frozen=True)
class Steered(Network):
    """Clients of one place that are steered to a mirror."""

    def reaches(self, mirror: str) -> str:
        """A mirror's address in the family of these clients."""
        return MIRRORS[mirror][self.is_v6]

    @property
    def asks_pharos(self) -> bool:
        return self.resolver in (PHAROS, PHAROS_V6)


NETWORKS = [
    Steered("aws", "3.80.1.5", PHAROS, "aws"),
    Steered("aws-ecs", "44.224.1.5", RESOLVER_ECS, "aws"),
    Steered("gcp-ecs", "34.76.8.5", RESOLVER_ECS, "gcp"),
    Steered("gcp-plain", "203.0.113.5", RESOLVER_PLAIN, "gcp"),
    Steered("lab", "198.51.100.5", PHAROS, "lab"),
    Steered("aws-v6", "2600:1f18::5", PHAROS_V6, "aws"),
]

ROOT_ZONE = f"""$TTL 3600
. IN SOA ns.root. nobody.root. 1 3600 600 1209600 60
. IN NS ns.root.
ns.root. IN A {PHAROS}
k8s.io. IN NS ns.k8s.io.
ns.k8s.io. IN A {PHAROS}
"""
K8S_ZONE = f"""$TTL 3600
@ IN SOA ns nobody 1 3600 600 1209600 60
@ IN NS ns
ns IN A {PHAROS}
registry IN A {LISTENER[0]}
registry IN AAAA {LISTENER[1]}
canonical IN A {CANONICAL[0]}
canonical IN AAAA {CANONICAL[1]}
blob IN NS ns1.blob
ns1.blob IN A {PHAROS}
"""
BLOB_ZONE = f"""$TTL 3600
@ IN SOA ns1 nobody.k8s.io. 1 3600 600 1209600 2
@ IN NS ns1
ns1 IN A {PHAROS}
"""
NGINX = """user root;
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
  log_format pull '$remote_addr "$http_user_agent" $request_method $request_uri $status $body_bytes_sent';
  access_log {folder}/access.log pull;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen {v4}:443 ssl;
    listen [{v6}]:443 ssl;
    ssl_certificate {certificate}.pem;
    ssl_certificate_key {certificate}.key;
    ssl_session_cache off;
    limit_rate {rate};
    location ~ "^/v2/demo/blobs/sha256:(?<hex>[0-9a-f]{{64}})$" {{
      default_type application/octet-stream;
      root {folder}/blobs;
      try_files /$hex =404;
    }}
    location / {{ return 404; }}
  }}
}}
"""


class Mirror:
    """An nginx that serves blobs for blob.k8s.io."""

    def __init__(self, world: "World", name: str):
        self.world, self.name, self.addresses = world, name, MIRRORS[name]
        self.folder = world.system.folder / f"mirror-{name}"
        self.folder.mkdir()
        self.process = None
        self.fill()
        self.configure("certs")
        self.start()

    def fill(self):
        """Every blob, as it should be."""
        blobs = self.folder / "blobs"
        blobs.mkdir(exist_ok=True)
        for blob in self.world.image.blobs.iterdir():
            # Renamed into place: what is being read is not cut off.
            shutil.copy(blob, blobs / ".new")
            (blobs / ".new").rename(blobs / blob.name)

    def configure(self, certificates: str):
        certificate = self.world.system.folder / certificates / self.name
        text = NGINX.format(
            folder=self.folder, v4=self.addresses[0], v6=self.addresses[1],
            certificate=certificate, rate=OCTETS_A_SECOND,
        )
        (self.folder / "nginx.conf").write_text(text)

    def start(self):
        log = self.folder / "nginx.log"
        nginx = ["nginx", "-e", self.folder / "error.log", "-c", self.folder / "nginx.conf"]
        self.process = self.world.system.start(SERVERS, *nginx, log=log)
        until(f"mirror {self.name}", lambda: self.world.listens(self.addresses[1]))

    def workers(self) -> list[str]:
        return run(["pgrep", "-P", self.process.pid]).split()

    def cut(self, workers: list[str] | None = None):
        """Ends every connection in the middle of what it carries; new ones are taken at once."""
        for pid in workers or self.workers():
            kill(pid)

    def die(self):
        workers = self.workers()
        self.world.system.stop(self.process, signal.SIGKILL)
        self.cut(workers)

    def present(self, certificates: str):
        """Another certificate from now on, for those too who were connected."""
        before = self.workers()
        self.configure(certificates)
        self.process.send_signal(signal.SIGHUP)
        until("new workers", lambda: set(self.workers()) - set(before))
        self.cut(list(set(before) & set(self.workers())))

    def lose(self, digest: str):
        """One blob is gone, for those too who were at it."""
        (self.folder / "blobs" / digest.removeprefix("sha256:")).unlink()
        self.cut()

    def corrupt(self):
        """Every blob with another octet at its end, and of the same length."""
        for blob in (self.folder / "blobs").iterdir():
            octets = bytearray(blob.read_bytes())
            octets[-1] ^= 1
            (self.folder / "corrupt").write_bytes(octets)
            (self.folder / "corrupt").rename(blob)
        self.cut()

    def served(self) -> list[tuple[str, str, str, int]]:
        """Client, its kind, digest and status of each GET of a blob so far."""
        log = self.folder / "access.log"
        pattern = re.compile(r'^(\S+) "([^"]*)" GET /v2/demo/blobs/(\S+) (\d+) ')
        found = [pattern.match(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [(match[1], match[2], match[3], int(match[4])) for match in found if match]


class World(Stage):
    """All that is served."""

    canonical, canonical_name = CANONICAL, "canonical.k8s.io"

    def __init__(self, system: System, pharos: Path):
        super().__init__(system, pharos, NETWORKS)
        own = [PHAROS, PHAROS_V6, RESOLVER_ECS, RESOLVER_PLAIN, *LISTENER, *CANONICAL, *sum(MIRRORS.values(), [])]
        self.make_network(PHAROS, own)
        self.make_certificates()
        self.mirrors = {name: Mirror(self, name) for name in MIRRORS}
        self.start_registry()
        self.write_config()
        self.start_pharos(LISTENER[1])
        self.start_resolvers()
        self.push()

    def make_certificates(self):
        folder = self.system.folder
        mirrors = [word for name in MIRRORS for word in ("--mirror", name)]
        make = [self.pharos, "certs", *mirrors, "--folder"]
        hosts = ["--listener", "registry.k8s.io", "--listener", "canonical.k8s.io"]
        run([*make, folder / "certs", "--name", "blob.k8s.io", *hosts])
        # The same authority, so that the name alone is wrong.
        (folder / "wrong").mkdir()
        for own in ("ca.pem", "ca.key"):
            shutil.copy(folder / "certs" / own, folder / "wrong")
        run([*make, folder / "wrong", "--name", "other.example"])

    def write_config(self, moved: dict[str, str] | None = None):
        """The configuration; `moved` sends the clients of one mirror to another."""
        folder = self.system.folder
        to = {name: (moved or {}).get(name, name) for name in MIRRORS}
        config = self.image.config
        mirrors = "".join(f"[mirrors.{name}]\naddresses = {json.dumps(both)}\n" for name, both in MIRRORS.items())
        (folder / "lab.txt").write_text("198.51.100.0/24 lab\n")
        for name in ("aws", "gcp"):
            shutil.copy(Path(__file__).parents[2] / "zones/networks" / f"{name}.txt", folder)
        for name, text in (("root", ROOT_ZONE), ("k8s", K8S_ZONE), ("blob", BLOB_ZONE)):
            (folder / f"{name}.zone").write_text(text)
        (folder / "pharos.toml").write_text(
            f"""[dns]
listen = ["{PHAROS}:53", "[{PHAROS_V6}]:53"]
[registry]
listen = ["{LISTENER[0]}:443", "[{LISTENER[1]}]:443"]
tls = {{ cert = "certs/listener.pem", key = "certs/listener.key" }}
canonical = "https://canonical.k8s.io"
blobs = "https://blob.k8s.io"
ask-wait = "5s"
ask-keep = "2s"
ask-lacking = "1s"
[probe]
roots = "certs/ca.pem"
interval = "400ms"
retry = "200ms"
timeout = "2s"
fall = 2
rise = 2
hold-down = "500ms"
max-hold-down = "500ms"
canary = {{ repository = "demo", digest = "{config['digest']}", size = {config['size']} }}
[[zone]]
name = "."
file = "root.zone"
[[zone]]
name = "k8s.io"
file = "k8s.zone"
[[zone]]
name = "blob.k8s.io"
file = "blob.zone"
steer = [{{ owner = "@", horizon = "blobs", ttl = 2 }}]
[networks]
lab = {{ list = "lab.txt" }}
aws = {{ list = "aws.txt", provider = "aws" }}
gcp = {{ list = "gcp.txt", provider = "gcp" }}
{mirrors}[horizons.blobs]
rules = [
  {{ network = "lab", mirrors = ["{to['lab']}"], fallback = ["aws"] }},
  {{ provider = "aws", mirrors = ["{to['aws']}"], fallback = ["gcp"] }},
  {{ provider = "gcp", mirrors = ["{to['gcp']}"], fallback = ["aws"] }},
]
default = ["gcp", "aws"]
"""
        )

    def restart_pharos(self, meanwhile):
        """Stops it and starts it again; in between something else happens."""
        self.system.stop(self.pharos_process)
        meanwhile()
        self.start_pharos(LISTENER[1])

    def reload_pharos(self):
        log = self.system.folder / "pharos.log"
        seen = len(log.read_text())
        self.pharos_process.send_signal(signal.SIGHUP)
        until("the reload", lambda: "reloaded: " in log.read_text()[seen:])

    def start_resolvers(self):
        folder = self.system.folder
        (folder / "root.hints").write_text(f". 3600 IN NS ns.root.\nns.root. 3600 IN A {PHAROS}\n")
        ecs = f"""  module-config: "subnetcache iterator"
  send-client-subnet: {PHAROS}
  max-client-subnet-ipv4: 32
"""
        hints = f'  root-hints: "{folder}/root.hints"\n'
        for address, module in ((RESOLVER_ECS, ecs), (RESOLVER_PLAIN, '  module-config: "iterator"\n')):
            self.start_unbound(address, hints + module)

    def steered(self, network: Steered) -> str:
        """The address that a network's resolver gives now."""
        kind = "AAAA" if network.is_v6 else "A"
        answer = self.system.output(network.name, "dig", "+short", "+tries=1", "+time=2", "blob.k8s.io", kind)
        return answer.strip()

    def is_healthy(self) -> bool:
        return all(self.steered(network) == network.reaches(network.mirror) for network in NETWORKS)
