"""Mirrors with real certificates on loopback addresses, right ones and every kind of wrong one.

A mirror serves the canary over TLS at TLS_PORT, and the same in the clear at PLAIN_PORT, for whoever checks only that.
"""

import asyncio
import hashlib
import os
import ssl
import subprocess
import time

NAME = "blob.example"
TLS_PORT, PLAIN_PORT = 28443, 28080
CANARY = b"a small blob that every mirror has"
DIGEST = hashlib.sha256(CANARY).hexdigest()
PATH = f"/v2/pause/blobs/sha256:{DIGEST}"

# The fault, what is wrong, in words.
FAULTS = {
    "none": "nothing",
    "unreachable": "no listener",
    "handshake-hangs": "the TLS handshake hangs",
    "silent": "connects, and says nothing",
    "dribbles": "a byte now and then",
    "not-tls": "speaks no TLS where TLS should be",
    "wrong-name": "certificate for another name",
    "expired": "certificate expired an hour ago",
    "not-yet-valid": "certificate valid in an hour",
    "self-signed": "self-signed certificate",
    "no-intermediate": "intermediate certificate missing",
    "expiring": "certificate ends in 48 h",
    "no-canary": "404 for the blob",
    "wrong-octets": "other bytes of the right length",
    "wrong-length": "a byte too many",
    "no-ranges": "ignores range requests",
    "answers-everything": "200 to everything",
    "closes": "ends the connection after each response",
    "http10": "speaks HTTP/1.0",
    "http2-fails": "selects HTTP/2, and ends the connection",
    "no-open-ranges": "416 to a range without an end",
    "false-gzip": "gzip in Content-Encoding alone",
    "head-404": "404 to HEAD until the first GET",
    "no-head": "405 to HEAD",
    "too-many": "429 for the blob",
    "forbidden": "403 for the blob",
    "misdirected": "421 for the shared name",
}
# What clients can pull from.
HARMLESS = {"none", "expiring", "no-ranges", "answers-everything", "closes", "http10", "no-open-ranges", "head-404", "no-head"}
# The blobs that mirrors have fetched, which say 404 to HEAD until then.
FETCHED = set()


class Certificates:
    """An authority with an intermediate, by the openssl command."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=root -keyout root.key -out root.pem")
        self.request("intermediate", "intermediate")
        self.sign("intermediate", "root", "basicConstraints=critical,CA:TRUE", 0, 30 * 86400)

    def openssl(self, arguments):
        subprocess.run(["openssl", *arguments.split()], cwd=self.folder, check=True, capture_output=True)

    def request(self, file, name):
        self.openssl(f"req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {file}.key -out {file}.csr")

    def sign(self, file, issuer, extensions, begins, ends):
        """Signs with times in seconds from now."""
        moment = lambda seconds: time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + seconds))
        database = f"{self.folder}/{file}.db"
        open(database, "w").close()
        with open(f"{self.folder}/{file}.cnf", "w") as config:
            config.write(f"[ca]\ndefault_ca=x\n[x]\ndatabase={database}\nnew_certs_dir={self.folder}\nrand_serial=yes\n"
                         f"default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n[e]\n{extensions}\n")
        own = ["-selfsign", "-keyfile", f"{file}.key"] if issuer == file else ["-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key"]
        subprocess.run(["openssl", "ca", "-batch", "-notext", "-config", f"{file}.cnf", "-extensions", "e", *own, "-in", f"{file}.csr",
                        "-out", f"{file}.pem", "-startdate", moment(begins), "-enddate", moment(ends)],
                       cwd=self.folder, check=True, capture_output=True)

    def context(self, fault):
        """What a mirror with this fault presents."""
        name = "other.example" if fault == "wrong-name" else NAME
        hour, day = 3600, 86400
        begins, ends = {"expired": (-9 * day, -hour), "not-yet-valid": (hour, 9 * day), "expiring": (-day, 2 * day)}.get(fault, (-day, 20 * day))
        self.request(fault, name)
        self.sign(fault, fault if fault == "self-signed" else "intermediate", f"subjectAltName=DNS:{name}", begins, ends)
        with open(f"{self.folder}/{fault}.chain", "w") as chain:
            parts = [fault] if fault in ("self-signed", "no-intermediate") else [fault, "intermediate"]
            chain.writelines(open(f"{self.folder}/{part}.pem").read() for part in parts)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{self.folder}/{fault}.chain", f"{self.folder}/{fault}.key")
        context.set_alpn_protocols(["h2", "http/1.1"] if fault == "http2-fails" else ["http/1.1"])
        return context


async def serve(fault, reader, writer):
    """One connection."""
    try:
        if fault in ("handshake-hangs", "not-tls") and writer.get_extra_info("sockname")[1] == TLS_PORT:
            if fault == "not-tls":
                writer.write(b"220 mail.example ESMTP\r\n")
                await writer.drain()
            else:
                await reader.read()
            return
        tls = writer.get_extra_info("ssl_object")
        if tls and tls.selected_alpn_protocol() == "h2":
            return
        while head := await reader.readuntil(b"\r\n\r\n"):
            method, path = head.split(b" ", 2)[:2]
            lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            if fault == "silent":
                await reader.read()
                return
            reply = answer(fault, method, path, lines.get(b"range"))
            if fault == "dribbles":
                for at in range(len(reply)):
                    writer.write(reply[at:at + 1])
                    await writer.drain()
                    await asyncio.sleep(0.25)
            writer.write(reply)
            await writer.drain()
            if lines.get(b"connection") == b"close" or b"HTTP/1.0" in head or fault in ("closes", "http10"):
                return
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


def answer(fault, method, path, asked):
    if path.decode() != PATH and fault != "answers-everything" or fault == "no-canary":
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    statuses = {"too-many": b"429 Too Many Requests", "forbidden": b"403 Forbidden", "misdirected": b"421 Misdirected Request"}
    status = statuses.get(fault)
    if method == b"HEAD" and fault == "no-head":
        status = b"405 Method Not Allowed"
    if method == b"HEAD" and fault == "head-404" and fault not in FETCHED:
        status = b"404 Not Found"
    if asked and asked.endswith(b"-") and fault == "no-open-ranges":
        status = b"416 Range Not Satisfiable"
    if status:
        return b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status
    if method == b"GET":
        FETCHED.add(fault)
    body = {"wrong-octets": b"A" + CANARY[1:], "wrong-length": CANARY + b"!"}.get(fault, CANARY)
    head = b"200 OK\r\n"
    if asked and fault != "no-ranges":
        first, last = (int(end) if end else len(body) - 1 for end in asked.removeprefix(b"bytes=").split(b"-"))
        head = b"206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\n" % (first, last, len(body))
        body = body[first:last + 1]
    if fault == "false-gzip":
        head += b"Content-Encoding: gzip\r\n"
    if fault == "closes":
        head += b"Connection: close\r\n"
    version = b"1.0" if fault == "http10" else b"1.1"
    return b"HTTP/%b %bContent-Length: %d\r\n\r\n%b" % (version, head, len(body), body if method == b"GET" else b"")


async def start(address, fault, context, plain=True):
    """The listening servers of a mirror."""
    if fault == "unreachable":
        return []
    handle = lambda reader, writer: serve(fault, reader, writer)
    tls = None if fault in ("handshake-hangs", "not-tls") else context
    servers = [await asyncio.start_server(handle, address, TLS_PORT, ssl=tls)]
    if plain:
        servers.append(await asyncio.start_server(handle, address, PLAIN_PORT))
    return servers


def pull(address, roots):
    """What a pull client gets there: none where it is the blob, else what went wrong. It offers HTTP/2 and decodes gzip, as Go does."""
    import gzip
    import socket
    context = ssl.create_default_context(cafile=roots)
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with socket.create_connection((address, TLS_PORT), 3) as plain, context.wrap_socket(plain, server_hostname=NAME) as stream:
            stream.settimeout(3)
            if stream.selected_alpn_protocol() == "h2":
                # The preface and an empty SETTINGS frame.
                stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
                return None if stream.recv(9) else "HTTP/2 connection ends"
            stream.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {NAME}:{TLS_PORT}\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n".encode())
            said, begun = b"", time.monotonic()
            while part := stream.recv(65536):
                said += part
                if time.monotonic() - begun > 5:
                    return "too slow"
            head, _, body = said.partition(b"\r\n\r\n")
            status = head.split(b" ")[1].decode()
            if b"content-encoding: gzip" in head.lower():
                try:
                    body = gzip.decompress(body)
                except OSError:
                    return "not gzip"
            return None if status == "200" and hashlib.sha256(body).hexdigest() == DIGEST else f"status {status}" if status != "200" else "wrong digest"
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except (OSError, IndexError) as error:
        return type(error).__name__
