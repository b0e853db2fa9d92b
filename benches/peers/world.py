"""The networks, the zone and the queries that all contestants are given, and the answers that they must give."""

import bisect
import ipaddress
import json
import os
import random
import socket
import struct

ZONE = "blob.k8s.io"
HOSTS = 1000
# The different clients, and names, that are asked for at most.
MOST_CLIENTS = 100_000
# The prefixes in one file of a feed.
MOST_IN_FEED = 600_000
A, NS, SOA, AAAA = 1, 2, 6, 28


class World:
    """Networks with the mirror of each, laid over each other; the first mirror is the default."""

    def __init__(self, data, synthetic=0, hosts=HOSTS):
        self.hosts, self.made = hosts, {}
        # With `--dnssec`: the file of a key, and the zone that it has signed.
        self.key = self.signed = None
        aws, gcp = (synthetic_feeds(synthetic) if synthetic else read_feeds(data)) or synthetic_feeds(11_800)
        self.feeds = [("aws", json.dumps(part)) for part in parts(aws)] + [("gcp", json.dumps(gcp))]
        self.mirrors = []  # (provider, region)
        ids = {}
        self.nets = {4: {}, 6: {}}  # (address, length) -> mirror
        for provider, feed, region_key in [("aws", aws, "region"), ("gcp", gcp, "scope")]:
            for entry in feed["prefixes"] + feed.get("ipv6_prefixes", []):
                text = next(entry[key] for key in ("ip_prefix", "ipv6_prefix", "ipv4Prefix", "ipv6Prefix") if key in entry)
                (version, *key), region = parse(text), entry[region_key]
                key = tuple(key)
                if region.lower() == "global":
                    self.nets[version].setdefault(key, 0)
                    continue
                if (provider, region) not in ids:
                    ids[provider, region] = len(self.mirrors)
                    self.mirrors.append((provider, region))
                self.nets[version].setdefault(key, ids[provider, region])
        self.sorted = {version: sorted(self.nets[version]) for version in (4, 6)}

    def decide(self, version, address, most=128):
        """The mirror of the longest prefix, up to `most`, that holds an address: the definition, not an implementation."""
        bits = 32 if version == 4 else 128
        for length in range(min(bits, most), -1, -1):
            key = (address >> (bits - length) << (bits - length), length)
            if key in self.nets[version]:
                return self.nets[version][key]
        return 0

    def is_uniform(self, version, address, source):
        """Whether all of a block has one mirror; where not, servers differ in what they choose, and all may be right."""
        around = self.decide(version, address, source)
        return all(mirror == around for mirror in self.inside(version, address, source))

    def inside(self, version, address, source):
        """The mirrors of the networks inside a block."""
        keys, bits = self.sorted[version], 32 if version == 4 else 128
        at, end = bisect.bisect_left(keys, (address, source)), address + (1 << (bits - source))
        while at < len(keys) and keys[at][0] < end:
            if keys[at][1] >= source:
                yield self.nets[version][keys[at]]
            at += 1

    def clients(self):
        """A client in every network, as (version, address, source): no resolver tells more than /24 and /56."""
        pick, clients = random.Random(5), set()
        for version, most in [(4, 24), (6, 56)]:
            bits = 32 if version == 4 else 128
            # Of a large table some clients ask, from everywhere in it.
            nets = pick.sample(self.sorted[version], min(len(self.sorted[version]), MOST_CLIENTS // 2))
            clients |= {(version, address >> (bits - most) << (bits - most), most) for address, _ in nets}
        uniform = [client for client in sorted(clients) if self.is_uniform(*client)]
        pick.shuffle(uniform)
        return uniform

    def address(self, mirror, version):
        return f"192.0.2.{mirror}" if version == 4 else f"2001:db8::{mirror + 1:x}"

    def queries(self, workload):
        """The queries of a workload, each with its expected (rcode, answer addresses)."""
        if workload not in self.made:
            self.made[workload] = self.make(workload)
        return self.made[workload]

    def make(self, workload):
        if workload == "ecs":
            return [ecs_query(*client, self.address(self.decide(*client[:2]), client[0])) for client in self.clients()]
        if workload == "static":
            asked = range(self.hosts) if self.hosts <= MOST_CLIENTS else random.Random(7).sample(range(self.hosts), MOST_CLIENTS)
            return [(query(f"host-{host}.{ZONE}", A), (0, [host_address(host)])) for host in asked]
        if workload == "nxdomain":
            pick = random.Random(3)
            return [(query(f"{pick.getrandbits(40):x}.{ZONE}", A), (3, [])) for _ in range(20_000)]
        if workload == "labels":
            pick = random.Random(11)
            return [(query(f"{crowded(pick)}.{ZONE}", A), (3, [])) for _ in range(5_000)]
        parts = [self.queries(part) for part in ("ecs", "ecs", "static", "nxdomain")]
        return [parts[at % 4][at * 7919 % len(parts[at % 4])] for at in range(40_000)]


def parse(prefix):
    """(version, address, length) of a prefix; `ipaddress` would take minutes for millions."""
    address, length = prefix.split("/")
    version, family = (6, socket.AF_INET6) if ":" in address else (4, socket.AF_INET)
    return version, int.from_bytes(socket.inet_pton(family, address), "big"), int(length)


def host_address(host):
    return f"203.0.113.{host % 256}"


def zone_text(steered, hosts=HOSTS):
    """The master file; `steered` is what the apex has in place of addresses."""
    lines = ["$TTL 300", f"$ORIGIN {ZONE}.", "@ SOA ns1 hostmaster 1 3600 600 86400 60", "@ NS ns1", "@ NS ns2",
             "ns1 A 192.0.2.253", "ns2 A 198.51.100.53", *steered]
    return "\n".join(lines + [f"host-{host} A {host_address(host)}" for host in range(hosts)]) + "\n"


def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def query(name, qtype, options=b""):
    header = struct.pack(">HHHHHH", 0, 0, 1, 0, 0, 1)
    return header + wire(name) + struct.pack(">HH", qtype, 1) + b"\0" + struct.pack(">HHIH", 41, 1232, 0, len(options)) + options


def ecs_query(version, address, source, expected):
    octets = address.to_bytes(4 if version == 4 else 16, "big")[:(source + 7) // 8]
    data = struct.pack(">HBB", 1 if version == 4 else 2, source, 0) + octets
    option = struct.pack(">HH", 8, len(data)) + data
    return query(ZONE, A if version == 4 else AAAA, option), (0, [expected])


def crowded(pick):
    """As many labels of one or two octets, at random, as there is room for: the names that take longest to read."""
    labels, room = [], 255 - len(wire(ZONE))
    while room >= 2:
        label = "".join(pick.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=min(pick.choice((1, 2)), room - 1)))
        labels.append(label)
        room -= len(label) + 1
    return ".".join(labels)


def with_option(message, option):
    """A query with one more EDNS option; its OPT record is the last."""
    header = 11 + (message[12:].index(b"\0") + 12 + 5)
    before, options = message[:header - 2], message[header:]
    return before + struct.pack(">H", len(options) + len(option)) + options + option


def with_dnssec_ok(message):
    """A query with the DO bit; its OPT record is the last."""
    flags = message[12:].index(b"\0") + 12 + 5 + 7
    return message[:flags] + b"\x80" + message[flags + 1:]


def cookie_option(reply):
    """The COOKIE option (RFC 7873) of a reply whose OPT has no other."""
    at = reply.rindex(struct.pack(">HH", 10, 24))
    return reply[at:at + 28]


def answer_of(message):
    """(rcode, addresses) of a reply; aliases in the answer are passed over."""
    count, at = struct.unpack(">H", message[6:8])[0], 12
    at = skip_name(message, at) + 4
    addresses = []
    for _ in range(count):
        at = skip_name(message, at)
        rtype, _, _, length = struct.unpack(">HHIH", message[at:at + 10])
        rdata, at = message[at + 10:at + 10 + length], at + 10 + length
        if rtype in (A, AAAA):
            addresses.append(str(ipaddress.ip_address(rdata)))
    return message[3] & 15, sorted(addresses)


def skip_name(message, at):
    while message[at]:
        if message[at] >= 0xc0:
            return at + 2
        at += 1 + message[at]
    return at + 1


def parts(feed):
    """A feed in files of a size that is taken, each with the prefixes of its own addresses."""
    count = -(-(len(feed["prefixes"]) + len(feed["ipv6_prefixes"])) // MOST_IN_FEED)
    if count == 1:
        return [feed]
    # The second octet tells synthetic networks apart, of which none is shorter.
    number = lambda text: (int(text.split(".")[1]) if "." in text else int(text.split(":")[1] or "0", 16) >> 8) * count >> 8
    files = [{"syncToken": "1", "prefixes": [], "ipv6_prefixes": []} for _ in range(count)]
    for kind, key in [("prefixes", "ip_prefix"), ("ipv6_prefixes", "ipv6_prefix")]:
        for entry in feed[kind]:
            files[number(entry[key])][kind].append(entry)
    return files


def read_feeds(data):
    try:
        with open(os.path.join(data, "aws-ip-ranges.json")) as aws, open(os.path.join(data, "gcp-cloud.json")) as gcp:
            return json.load(aws), json.load(gcp)
    except FileNotFoundError:
        return None


def synthetic_feeds(count):
    """Nested prefixes like those that providers publish: half of them IPv4; none are reserved, and each provider has its own."""
    pick = random.Random(count)

    def v4(provider):
        length = pick.choice([16, 16, 16, 18, 20, 21, 22, 23, 24, 24, 24, 24])
        address = (pick.getrandbits(29) | provider << 30) >> (32 - length) << (32 - length)
        return f"{socket.inet_ntop(socket.AF_INET, address.to_bytes(4, 'big'))}/{length}"

    def v6():
        length = pick.choice([36, 40, 44, 48, 48, 52, 56])
        address = (0x2600 << 112 | pick.getrandbits(100) << 12) >> (128 - length) << (128 - length)
        return f"{socket.inet_ntop(socket.AF_INET6, address.to_bytes(16, 'big'))}/{length}"

    region = lambda: f"region-{pick.randrange(42)}"
    aws = {"syncToken": "1", "prefixes": [{"ip_prefix": v4(1), "region": region()} for _ in range(count * 4 // 10)],
           "ipv6_prefixes": [{"ipv6_prefix": v6(), "region": region()} for _ in range(count // 2)]}
    return aws, {"syncToken": "1", "prefixes": [{"ipv4Prefix": v4(2), "scope": region()} for _ in range(count // 10)]}
