"""A country database (MaxMind DB 2.0) of any networks, for servers that steer by nothing else."""

import struct


def country_database(path, networks, code):
    """Writes the networks, given as (version, address, length, mirror), with a country per mirror."""
    import ipaddress
    import os
    tree = [[None, None]]  # a record is None, a node number, or ("data", mirror)
    ordered = sorted(networks, key=lambda net: net[2] + (96 if net[0] == 4 else 0))
    for version, text, length, mirror in ordered:
        address = int(ipaddress.ip_address(text))
        insert(tree, address, length + (96 if version == 4 else 0), ("data", mirror))
    data, offsets = b"", {}
    for record in (record for node in tree for record in node if isinstance(record, tuple)):
        if record[1] not in offsets:
            offsets[record[1]] = len(data)
            data += pairs({"country": {"iso_code": code(record[1]).upper()}})
    count, out = len(tree), bytearray()
    for node in tree:
        for record in node:
            value = count if record is None else record if isinstance(record, int) else count + 16 + offsets[record[1]]
            out += struct.pack(">I", value)
    metadata = {"binary_format_major_version": (5, 2), "binary_format_minor_version": (5, 0), "build_epoch": (9, 1_700_000_000),
                "database_type": "GeoLite2-Country", "description": {"en": "made for a benchmark"}, "ip_version": (5, 6),
                "languages": ["en"], "node_count": (6, count), "record_size": (5, 32)}
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(bytes(out) + b"\0" * 16 + data + b"\xab\xcd\xefMaxMind.com" + pairs(metadata))


def insert(tree, address, length, value):
    """Puts a value at a prefix; shorter prefixes come first, so a value met on the way is pushed down."""
    node = 0
    for depth in range(length):
        side = address >> (127 - depth) & 1
        record = tree[node][side]
        if depth == length - 1:
            tree[node][side] = value
        elif isinstance(record, int):
            node = record
        else:
            tree.append([record, record])
            tree[node][side] = node = len(tree) - 1


def pairs(fields):
    return bytes([7 << 5 | len(fields)]) + b"".join(string(key) + encode(value) for key, value in fields.items())


def string(text):
    octets = text.encode()
    head = bytes([2 << 5 | len(octets)]) if len(octets) < 29 else bytes([2 << 5 | 29, len(octets) - 29])
    return head + octets


def encode(value):
    if isinstance(value, dict):
        return pairs(value)
    if isinstance(value, list):
        return bytes([len(value), 4]) + b"".join(map(encode, value))
    if isinstance(value, str):
        return string(value)
    kind, number = value
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return (bytes([len(octets), kind - 7]) if kind > 7 else bytes([kind << 5 | len(octets)])) + octets
