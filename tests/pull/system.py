"""Namespaces, processes and mounts of one run, and their end.

Whatever way a run ends, `System.close` leaves none of them behind; processes also die with this one, should it be killed.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)

# How long anything may take to come up, in seconds, on a machine that does other things too.
PATIENCE = 60


def die_with_parent():
    # With the thread that started it, to be exact: what is to stay is started by the main one.
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Closed(Exception):
    """The run is over: nothing is started any more."""


class Failed(Exception):
    """Something did not go as it must, in words."""


class System:
    """What a run has made."""

    def __init__(self):
        # Podman takes no place whose path is longer than fifty characters.
        self.folder = Path(tempfile.mkdtemp(prefix="pharos-pull-", dir="/tmp"))
        self.closing = False
        self.lock = threading.Lock()
        self.namespaces: list[str] = []
        self.processes: list[subprocess.Popen] = []

    def name(self, short: str) -> str:
        """A namespace's name: of this run alone."""
        return f"pharos-{os.getpid()}-{short}"

    def namespace(self, short: str, resolver: str):
        name = self.name(short)
        etc = Path("/etc/netns") / name
        self.namespaces.append(name)
        etc.mkdir(parents=True)
        (etc / "resolv.conf").write_text(f"nameserver {resolver}\n")
        run(["ip", "netns", "add", name])
        run(["ip", "-n", name, "link", "set", "lo", "up"])

    def command(self, short: str, *words) -> list[str]:
        return ["ip", "netns", "exec", self.name(short), *map(str, words)]

    def start(self, short: str, *words, log: Path, env: dict | None = None) -> subprocess.Popen:
        """Starts a process in a namespace; what it says goes to a file."""
        return self.spawn(self.command(short, *words), log, env)

    def start_inside(self, short: str, *words, log: Path, env: dict | None = None) -> subprocess.Popen:
        """The same with all of this machine's mounts."""
        return self.spawn(["nsenter", f"--net=/run/netns/{self.name(short)}", *map(str, words)], log, env)

    def spawn(self, words: list[str], log: Path, env: dict | None) -> subprocess.Popen:
        with self.lock:
            if self.closing:
                raise Closed
            with log.open("ab") as out:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                    env=os.environ | (env or {}), preexec_fn=die_with_parent,
                )
            self.processes.append(process)
        return process

    def stop(self, process: subprocess.Popen, with_signal=signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(with_signal)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.forget(process)

    def forget(self, process: subprocess.Popen):
        """It has ended."""
        with self.lock:
            if process in self.processes:
                self.processes.remove(process)

    def output(self, short: str, *words, env: dict | None = None) -> str:
        """What a command in a namespace prints."""
        return run(self.command(short, *words), env=env)

    def close(self):
        with self.lock:
            self.closing = True
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        end = time.monotonic() + 10
        for process in self.processes:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in self.namespaces:
            # What daemons have started and left.
            left = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False)
            for pid in left.stdout.split():
                kill(pid)
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            target = line.split()[1]
            if target.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "-l", target], check=False)
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
            shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def kill(pid: str):
    """Ends a process at once, if it has not ended."""
    try:
        os.kill(int(pid), signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(words: list[str], env: dict | None = None) -> str:
    """Runs a command; what it prints, or `Failed`."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, env=os.environ | (env or {}), timeout=120,
    )
    if done.returncode != 0:
        raise Failed(f"`{' '.join(map(str, words))}` failed ({done.returncode}): {done.stdout}{done.stderr}")
    return done.stdout


def until(what: str, condition, seconds: float = PATIENCE):
    """Waits for a condition; what it gives, or `Failed`."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f"{what} did not come within {seconds} s")
        time.sleep(0.02)
