"""What the programs here share: building, asking, loading, and reading what a process took."""

import os
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def build(work, pharos):
    """The binaries by name; Pharos is built where none is given."""
    for name in ("blast", "echo"):
        subprocess.run(["cc", "-O2", "-Wall", "-o", f"{work}/{name}.bin", f"{HERE}/{name}.c"], check=True)
    if not pharos:
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
        pharos = f"{ROOT}/target/release/pharos"
    return {"echo": f"{work}/echo.bin", "pharos": pharos, "large": pharos, "limits": pharos, "fleet": pharos}


def ask(port, query, timeout=1.0):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(timeout)
        asking.connect(("127.0.0.1", port))
        asking.send(query)
        return asking.recv(4096)


def wait(name, process, port, query):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"{name} ended with {process.returncode}: see target/peers/{name}/log")
        try:
            return ask(port, query, 0.5)
        except OSError:
            time.sleep(0.2)
    sys.exit(f"{name} does not answer")


def tree(pid):
    """A process and all below it."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid] + [below for child in children for below in tree(int(child))]


def blast(work, workload, port, seconds, process, window=400):
    """Loads a server with a workload; the figures by name. The load is on CPU 1."""
    pids = [part for pid in tree(process.pid) for part in ("-P", str(pid))]
    command = ["taskset", "-c", "1", f"{work}/blast.bin", "-f", f"{work}/{workload}.queries", "-p", str(port),
               "-t", str(seconds), "-w", str(window), *pids]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(line.split() for line in output.splitlines())


def rss_mib(process):
    total = 0
    for pid in tree(process.pid):
        try:
            with open(f"/proc/{pid}/status") as status:
                total += next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        except (OSError, StopIteration):
            pass
    return total / 1024


def stop(processes):
    processes = list(processes)
    for process in processes:
        process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
