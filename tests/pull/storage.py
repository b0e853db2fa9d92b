"""The servers of `tests/pull/buckets`: S3 buckets and a CDN in front of one, the canonical registry, and Pharos with the
example for registry.k8s.io.

    client namespace 3.128.0.5 ── veth ── server namespace: 192.0.2.80 registry.k8s.io, 142.250.0.90 the canonical registry,
                                          52.219.80.1 every bucket, 13.32.0.1 the CDN, 192.0.2.54 unbound

Names are those of the example. One nginx ends TLS for all buckets, and moto behind it keeps the objects. nginx writes the
log, which says by host name which bucket served what.

moto has S3's replies: virtual hosts, ETag, ranges, errors. It cannot show four things of S3. A missing object of a bucket
that cannot be listed is 404 there, and 403 in S3; nginx makes it 403 for all buckets but one. Replication between buckets
does not exist, so that a lag is shown by an object that is absent. S3 refuses or delays requests under load; moto does
neither. The certificates of S3 are of a public authority, and cover one bucket each by a wildcard.
"""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

from needs import ROOT
from network import Network
from stage import SERVERS, Stage
from system import Failed, System, run, until

EXAMPLE = ROOT / "deploy/examples/registry.k8s.io.toml"

# The programs besides those of every run.
PROGRAMS = ["moto_server", "curl"]

LISTENER = ["192.0.2.80", "2001:db8::80"]
RESOLVER = ["192.0.2.54", "2001:db8::54"]
# Public addresses, because a resolver's answer with another is refused.
CANONICAL = ["142.250.0.90", "2607:f8b0::90"]
S3 = ["52.219.80.1", "2600:1fa0::1"]
CDN = ["13.32.0.1", "2600:9000::1"]
MOTO = "http://127.0.0.1:5000"

# The region of the bucket that can be listed.
LISTED = "us-east-2"
# The source of blobs for clients that no bucket serves.
ORIGIN = "us-east-1"

NETWORKS = [
    Network("aws-ohio", "3.128.0.5", RESOLVER[0], "us-east-2"),
    Network("aws-paris", "35.180.0.5", RESOLVER[0], "eu-west-3"),
    Network("aws-china", "52.80.0.5", RESOLVER[0], "ap-east-1"),
    Network("aws-v6", "2600:1f16::5", RESOLVER[1], "us-east-2"),
    Network("gcp", "34.76.8.5", RESOLVER[0], "canonical"),
    Network("elsewhere", "203.0.113.5", RESOLVER[0], "cdn"),
]

AWS = [("3.128.0.0/15", "us-east-2"), ("35.180.0.0/16", "eu-west-3"), ("52.80.0.0/16", "cn-north-1")]
AWS_V6 = [("2600:1f16::/36", "us-east-2")]
GCP = [("34.76.0.0/14", "europe-west1")]

NGINX = """user root;
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log;
events {{ }}
http {{
  log_format pull '$remote_addr "$http_user_agent" $request_method $host $request_uri $status';
  access_log {folder}/access.log pull;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  ssl_certificate {folder}/certs/listener.pem;
  ssl_certificate_key {folder}/certs/listener.key;
  server_names_hash_bucket_size 256;
{servers}}}
"""


class Storage(Stage):
    """All that is served."""

    canonical, canonical_name = CANONICAL, "us-central1-docker.pkg.dev"
    repository = "k8s-artifacts-prod/images/demo"

    def __init__(self, system: System, pharos: Path, networks: list[Network]):
        super().__init__(system, pharos, networks)
        self.example = tomllib.loads(EXAMPLE.read_text())
        self.hosts = {name: mirror["url"].split("/")[2] for name, mirror in self.example["mirrors"].items()}
        self.make_network(RESOLVER[0], [*LISTENER, *RESOLVER, *CANONICAL, *S3, *CDN])
        self.make_certificates()
        self.start_resolvers()
        self.start_moto()
        self.start_nginx()
        self.start_registry()
        self.push()
        self.fill()
        self.write_config()
        self.start_pharos(LISTENER[1])

    def make_certificates(self):
        """One certificate for every name; each server has it."""
        names = ["registry.k8s.io", self.canonical_name, *self.hosts.values()]
        listeners = [word for name in names for word in ("--listener", name)]
        folder = self.system.folder / "certs"
        run([self.pharos, "certs", "--folder", folder, "--name", "unused.example", "--mirror", "unused", *listeners])

    def start_resolvers(self):
        """Every name below a bucket's domain has the address of S3, and no other name exists."""
        lines = ['  local-zone: "." static']
        for zone, addresses in (("amazonaws.com", S3), ("cloudfront.net", CDN)):
            lines.append(f'  local-zone: "{zone}." redirect')
            lines += self.records(zone, addresses)
        lines += self.records(self.canonical_name, CANONICAL) + self.records("registry.k8s.io", LISTENER)
        for address in RESOLVER:
            self.start_unbound(address, "\n".join(lines) + "\n")

    @staticmethod
    def records(name: str, addresses: list[str]) -> list[str]:
        types = {False: "A", True: "AAAA"}
        return [f'  local-data: "{name}. 60 IN {types[":" in address]} {address}"' for address in addresses]

    def start_moto(self):
        host, port = MOTO.removeprefix("http://").split(":")
        log = self.system.folder / "moto.log"
        self.system.start(SERVERS, "moto_server", "-H", host, "-p", port, log=log)
        until("moto", lambda: self.listens(host, int(port)))

    def start_nginx(self):
        folder = self.system.folder
        deny = "proxy_intercept_errors on; error_page 404 =403 /denied;"
        servers = []
        for name, host in self.hosts.items():
            addresses = CDN if name == "cdn" else S3
            listen = "".join(f"listen {f'[{a}]' if ':' in a else a}:443 ssl; " for a in addresses)
            origin = self.hosts[ORIGIN] if name == "cdn" else host
            servers.append(
                f"  server {{ {listen}server_name {host}; location = /denied {{ internal; return 403; }}\n"
                f"    location / {{ {'' if name == LISTED else deny} proxy_pass {MOTO}; proxy_set_header Host {origin}; }} }}\n"
            )
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, servers="".join(servers)))
        log = folder / "nginx.log"
        self.system.start(SERVERS, "nginx", "-e", folder / "nginx-error.log", "-c", folder / "nginx.conf", log=log)
        until("nginx", lambda: self.listens(S3[1]))

    def act(self, acts: list[dict]):
        """Acts upon buckets, through the S3 API. A bucket is named by the region in its name."""
        python = Path(shutil.which("moto_server")).resolve().parent / "python"
        lines = [act | {"in": act["bucket"], "bucket": self.hosts[act["bucket"]].split(".")[0]} for act in acts]
        command = self.system.command(SERVERS, python, Path(__file__).parent / "objects.py", MOTO)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode != 0:
            raise Failed(f"acts upon buckets failed: {done.stderr}")

    def fill(self):
        """Every bucket, with the canary; the buckets of the networks, with the image."""
        canary = self.system.folder / "canary"
        canary.write_bytes(CANARY)
        acts = []
        used = {network.mirror for network in self.networks} | {ORIGIN}
        for region in self.hosts:
            if region == "cdn":
                continue
            acts.append({"act": "create", "bucket": region, "region": region})
            acts.append(self.put(region, self.canary, canary))
            if region in used:
                acts += [self.put(region, digest, self.blob(digest)) for digest in self.image.digests()]
        self.act(acts)

    @property
    def canary(self) -> str:
        return self.example["probe"]["canary"]["digest"]

    def blob(self, digest: str) -> Path:
        return self.image.blobs / digest.removeprefix("sha256:")

    @staticmethod
    def put(region: str, digest: str, file: Path) -> dict:
        return {"act": "put", "bucket": region, "key": f"containers/images/{digest}", "file": str(file)}

    @staticmethod
    def delete(region: str, digest: str) -> dict:
        return {"act": "delete", "bucket": region, "key": f"containers/images/{digest}"}

    def write_config(self):
        """The example, with the addresses, the roots and the patience of a test."""
        folder = self.system.folder
        aws = {
            "syncToken": "1",
            "createDate": "2026-01-01-00-00-00",
            "prefixes": [self.prefix("ip_prefix", *entry) for entry in AWS],
            "ipv6_prefixes": [self.prefix("ipv6_prefix", *entry) for entry in AWS_V6],
        }
        gcp = [{"ipv4Prefix": prefix, "service": "Google Cloud", "scope": scope} for prefix, scope in GCP]
        (folder / "ip-ranges.json").write_text(json.dumps(aws))
        (folder / "cloud.json").write_text(json.dumps({"syncToken": "1", "creationTime": "1", "prefixes": gcp}))
        edits = [
            (
                '["127.0.0.1:8080"]',
                f'["{LISTENER[0]}:443", "[{LISTENER[1]}]:443"]\n'
                'tls = { cert = "certs/listener.pem", key = "certs/listener.key" }\n'
                'ask-wait = "5s"\nask-keep = "1s"\nask-lacking = "1s"',
            ),
            (
                "[probe]\n",
                '[probe]\nroots = "certs/ca.pem"\ninterval = "5s"\nretry = "500ms"\ntimeout = "4s"\nrise = 2\n'
                'hold-down = "500ms"\nmax-hold-down = "500ms"\n',
            ),
        ]
        text = EXAMPLE.read_text()
        for old, new in edits:
            assert text.count(old) == 1, f"{EXAMPLE} has not one {old!r}"
            text = text.replace(old, new)
        (folder / "pharos.toml").write_text(text)

    @staticmethod
    def prefix(kind: str, prefix: str, region: str) -> dict:
        return {kind: prefix, "region": region, "service": "AMAZON", "network_border_group": region}

    def redirect(self, network: Network, digest: str) -> str:
        """The place that the listener names to a network for a blob: a mirror's name, or `canonical`."""
        url = f"https://registry.k8s.io/v2/demo/blobs/{digest}"
        words = ["curl", "-s", "-o", "/dev/null", "-w", "%{redirect_url}", "--cacert", self.roots, url]
        host = self.system.output(network.name, *words).split("/")[2]
        places = {host: name for name, host in self.hosts.items()} | {self.canonical_name: "canonical"}
        return places[host]

    def down(self) -> list[str]:
        """The lines of the log about mirrors that a probe took down so far. All 33 are probed, over IPv4 and IPv6."""
        lines = (self.system.folder / "pharos.log").read_text().splitlines()
        assert any(line.endswith(" 33 mirrors") for line in lines), lines
        return [line for line in lines if " is down, " in line]

    def served(self) -> list[tuple[str, str, str, str, int]]:
        """Client, its kind, bucket, digest and status of each GET of an object so far."""
        names = {host: name for name, host in self.hosts.items()}
        pattern = re.compile(r'^(\S+) "([^"]*)" GET (\S+) /containers/images/(\S+) (\d+)$')
        found = [pattern.match(line) for line in (self.system.folder / "access.log").read_text().splitlines()]
        return [(match[1], match[2], names[match[3]], match[4], int(match[5])) for match in found if match]


# The blob of the example's canary: a gzipped archive without an entry, as Docker made it for a layer without a file.
CANARY = bytes.fromhex("1f8b080000096e8800ff621805a360148c5800080000ffff2eafb5ef00040000")
