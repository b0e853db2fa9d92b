"""The contestants: for each, how its configuration is written from the world, and how it is started on a port."""

import os
from world import HOSTS, ZONE, host_address, zone_text


def write(path, text, mode="w"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, mode) as file:
        file.write(text)


def networks(world):
    """Every network with its mirror."""
    for version, bits in ((4, 32), (6, 128)):
        for (address, length), mirror in sorted(world.nets[version].items()):
            yield version, text_of(version, address), length, mirror


def text_of(version, address):
    import ipaddress
    return str(ipaddress.IPv4Address(address) if version == 4 else ipaddress.IPv6Address(address))


def limits(world, directory, port, binary):
    """Pharos with response rate limiting, at the highest rate, so that all is counted and nothing dropped."""
    return pharos(world, directory, port, binary, 'rrl = { responses-per-second = 100000 }')


def fleet(world, directory, port, binary):
    """Pharos as one server of a fleet, with a folder as its store, which it looks at every second."""
    write(f"{directory}/fleet.key", "0" * 64)
    os.chmod(f"{directory}/fleet.key", 0o600)
    os.makedirs(f"{directory}/store", exist_ok=True)
    return pharos(world, directory, port, binary, more=f"""
[control]
socket = "{directory}/control.sock"
state = "{directory}/orders.json"
[fleet]
name = "one"
store = "dir:{directory}/store"
key-file = "fleet.key"
every = "1s"
""")


def pharos(world, directory, port, binary, options="", more=""):
    mirrors = "".join(f"[mirrors.{provider}-{region}]\naddresses = [\"{world.address(at, 4)}\", \"{world.address(at, 6)}\"]\n"
                      for at, (provider, region) in enumerate(world.mirrors))
    rules = "".join(f"  {{ provider = \"{provider}\", region = \"{region}\", mirrors = [\"{provider}-{region}\"] }},\n"
                    for provider, region in world.mirrors)
    for at, (provider, text) in enumerate(world.feeds):
        write(f"{directory}/{provider}-{at}.json", text)
    sources = "".join(f"{provider}-{at} = {{ feed = \"{provider}\", file = \"{provider}-{at}.json\" }}\n"
                      for at, (provider, _) in enumerate(world.feeds))
    write(f"{directory}/zone", zone_text([], world.hosts))
    write(f"{directory}/pharos.toml", f"""
[dns]
listen = ["127.0.0.1:{port}"]
udp-threads = 1
{options}
[registry]
listen = ["127.0.0.1:{port + 1}"]
canonical = "https://canonical.example"
blobs = "https://{ZONE}"
[[zone]]
name = "{ZONE}"
file = "zone"
steer = [{{ owner = "@", horizon = "blobs", ttl = 60 }}]
{f'dnssec = {{ keys = ["{world.key}"] }}' if world.key else ""}
[networks]
{sources}{mirrors}
[horizons.blobs]
rules = [
{rules}]
default = ["{"-".join(world.mirrors[0])}"]
{more}""")
    return [binary, "serve", "--config", f"{directory}/pharos.toml"]


def echo(world, directory, port, binary):
    return [binary, str(port), "28"]


def gdnsd(world, directory, port, _):
    centers = ", ".join(f"dc{at}" for at in range(len(world.mirrors)))
    addresses = "".join(f"dc{at} => {{ addrs_v4 => [ {world.address(at, 4)} ], addrs_v6 => [ {world.address(at, 6)} ] }}\n"
                        for at in range(len(world.mirrors)))
    nets = "".join(f"{address}/{length} => [ dc{mirror} ]\n" for _, address, length, mirror in networks(world))
    write(f"{directory}/geoip/nets", nets)
    write(f"{directory}/zones/{ZONE}", zone_text(["@ 60 DYNA geoip!blobs"]))
    write(f"{directory}/config", f"""
options => {{
  listen => [ 127.0.0.1:{port} ]
  udp_threads => 1
  tcp_threads => 1
  run_dir => {directory}/run
  state_dir => {directory}/state
}}
plugins => {{
  geoip => {{
    maps => {{ m => {{ datacenters => [ {centers} ], nets => nets }} }}
    resources => {{ blobs => {{ map => m, dcmap => {{
{addresses} }} }} }}
  }}
}}
""")
    os.makedirs(f"{directory}/run", exist_ok=True)
    os.makedirs(f"{directory}/state", exist_ok=True)
    return ["gdnsd", "-c", directory, "start"]


def static_text(world):
    """The zone with one address for all clients; signed by Pharos where that is measured, so that all have the same signatures."""
    return world.signed or zone_text([f"@ 60 A {world.address(0, 4)}", f"@ 60 AAAA {world.address(0, 6)}"])


def knot(world, directory, port, _):
    nets = "".join(f"  - net: {address}/{length}\n    A: {world.address(mirror, 4)}\n    AAAA: \"{world.address(mirror, 6)}\"\n"
                   for _, address, length, mirror in networks(world))
    write(f"{directory}/nets.conf", f"{ZONE}:\n{nets}")
    write(f"{directory}/{ZONE}.zone", static_text(world))
    write(f"{directory}/knot.conf", f"""
server:
    listen: 127.0.0.1@{port}
    rundir: {directory}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    edns-client-subnet: on
database:
    storage: {directory}/db
mod-geoip:
  - id: blobs
    config-file: {directory}/nets.conf
    ttl: 60
    mode: subnet
template:
  - id: default
    storage: {directory}
zone:
  - domain: {ZONE}
    {"" if world.signed else "module: mod-geoip/blobs"}
""")
    return ["knotd", "-c", f"{directory}/knot.conf"]


def nsd(world, directory, port, _):
    write(f"{directory}/{ZONE}.zone", static_text(world))
    write(f"{directory}/nsd.conf", f"""
server:
    ip-address: 127.0.0.1@{port}
    server-count: 1
    username: ""
    zonesdir: {directory}
    database: ""
    zonelistfile: {directory}/zone.list
    xfrdfile: {directory}/xfrd.state
    xfrdir: {directory}
    pidfile: {directory}/nsd.pid
    rrl-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: {ZONE}
    zonefile: {ZONE}.zone
""")
    return ["nsd", "-d", "-c", f"{directory}/nsd.conf"]


def pdns(world, directory, port, _):
    """PowerDNS steers by database only, so each mirror is a made-up country of one."""
    code = lambda mirror: chr(97 + mirror // 26) + chr(97 + mirror % 26)
    from mmdb import country_database
    country_database(f"{directory}/nets.mmdb", networks(world), code)
    hosts = "".join(f"    host-{host}.{ZONE}:\n      - a: {host_address(host)}\n" for host in range(HOSTS))
    geo = "".join(f"    {code(at)}.geo.{ZONE}:\n      - a: {world.address(at, 4)}\n      - aaaa: \"{world.address(at, 6)}\"\n"
                  for at in range(len(world.mirrors)))
    write(f"{directory}/zones.yaml", f"""
domains:
- domain: {ZONE}
  ttl: 60
  records:
    {ZONE}:
      - soa: ns1.{ZONE} hostmaster.{ZONE} 1 3600 600 86400 60
      - ns: ns1.{ZONE}
      - ns: ns2.{ZONE}
{geo}    unknown.geo.{ZONE}:
      - a: {world.address(0, 4)}
      - aaaa: "{world.address(0, 6)}"
{hosts}  services:
    {ZONE}: [ '%cc.geo.{ZONE}', 'unknown.geo.{ZONE}' ]
""")
    write(f"{directory}/pdns.conf", f"""
launch=geoip
geoip-database-files=mmdb:{directory}/nets.mmdb
geoip-zones-file={directory}/zones.yaml
local-address=127.0.0.1
local-port={port}
edns-subnet-processing=yes
receiver-threads=1
distributor-threads=1
socket-dir={directory}
daemon=no
guardian=no
setuid=
setgid=
disable-syslog=yes
loglevel=3
""")
    return ["pdns_server", f"--config-dir={directory}"]


CONTESTANTS = {"echo": echo, "pharos": pharos, "large": pharos, "limits": limits, "fleet": fleet, "gdnsd": gdnsd, "knot": knot, "nsd": nsd, "pdns": pdns}
# Who gives everybody one answer: its figure stands in the steered workloads, but it is not held to the right answers.
UNSTEERED = {"nsd", "echo"}
# Pharos otherwise than the rest has it; only where asked for.
VARIANTS = {"large", "limits", "fleet"}
