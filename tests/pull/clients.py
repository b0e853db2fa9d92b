"""The pull clients: each as its users have it, told nothing but the authority to trust.

Each pulls `registry.k8s.io/demo:1` into a place of its own, and then tells the digest of what it has.
"""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from network import Network
from system import System, until

NAME = "registry.k8s.io/demo:1"


class Client:
    """One kind of client in one network."""

    kind = ""
    programs: list[str] = []
    # How its User-Agent begins.
    agent = ""
    # Which program connects.
    puller = ""

    def __init__(self, system: System, network: Network, roots: Path):
        self.system, self.network = system, network
        self.folder = system.folder / f"{network.name}-{self.kind}"
        self.folder.mkdir()
        (self.folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        (self.folder / "registries.conf").write_text("")
        self.env = {
            "SSL_CERT_FILE": str(roots),
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.folder),
            "CONTAINERS_REGISTRIES_CONF": str(self.folder / "registries.conf"),
        }

    def prepare(self):
        """Starts what it needs to run, where it needs a daemon."""

    def wait(self):
        """Waits until that is up."""

    def start(self) -> subprocess.Popen:
        """Begins to pull."""
        (self.folder / "said").write_text("")
        return self.system.start(self.network.name, *self.pull(), log=self.folder / "said", env=self.env)

    def said(self) -> str:
        return (self.folder / "said").read_text().strip()

    def pull(self) -> list:
        raise NotImplementedError

    def digest(self, layers: list[str]) -> str:
        """The digest of the image it has; its layers are checked where they are kept as they came."""
        raise NotImplementedError

    def again(self):
        """Makes ready to try once more; what is there already may serve."""

    def forget(self):
        """Makes place for the next pull."""

    def output(self, *words) -> str:
        return self.system.output(self.network.name, *words, env=self.env).strip()


class Skopeo(Client):
    kind, programs, agent, puller = "skopeo", ["skopeo"], "skopeo/", "skopeo"

    def pull(self):
        return ["skopeo", "copy", "--insecure-policy", f"docker://{NAME}", f"dir:{self.folder}/out"]

    def digest(self, layers):
        out = self.folder / "out"
        for layer in layers:
            octets = (out / layer.removeprefix("sha256:")).read_bytes()
            assert "sha256:" + hashlib.sha256(octets).hexdigest() == layer, f"{layer} has another digest"
        return "sha256:" + hashlib.sha256((out / "manifest.json").read_bytes()).hexdigest()

    def forget(self):
        shutil.rmtree(self.folder / "out", ignore_errors=True)

    # It takes no folder that holds half an image.
    again = forget


class Stored(Client):
    """What keeps images in containers/storage."""

    as_json: list[str] = []

    def tool(self):
        return [self.kind, "--root", self.folder / "root", "--runroot", self.folder / "run", "--storage-driver", "vfs"]

    def pull(self):
        return [*self.tool(), "pull", "--quiet", "--signature-policy", self.folder / "policy.json", NAME]

    def digest(self, layers):
        images = json.loads(self.output(*self.tool(), "images", *self.as_json))
        assert len(images) == 1, f"{images}"
        return images[0].get("digest") or images[0]["Digest"]

    def forget(self):
        for part in ("root", "run"):
            shutil.rmtree(self.folder / part, ignore_errors=True)


class Podman(Stored):
    kind, programs, agent, puller = "podman", ["podman"], "containers/", "podman"
    as_json = ["--format", "json"]

    def tool(self):
        words = super().tool()
        return [*words, "--tmpdir", self.folder / "run", "--cgroup-manager", "cgroupfs", "--events-backend", "none"]


class Buildah(Stored):
    kind, programs, agent, puller = "buildah", ["buildah"], "Buildah/", "buildah"
    as_json = ["--json"]


class Ctr(Client):
    kind, programs, agent, puller = "ctr", ["containerd", "ctr"], "containerd/", "ctr"

    def prepare(self):
        config = self.folder / "containerd.toml"
        config.write_text(
            f"""version = 2
root = "{self.folder}/root"
state = "{self.folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.restart"]
[grpc]
address = "{self.folder}/sock"
"""
        )
        log = self.folder / "containerd.log"
        self.system.start(self.network.name, "containerd", "--config", config, log=log, env=self.env)

    def wait(self):
        until("containerd", lambda: (self.folder / "sock").exists())

    def tool(self):
        return ["ctr", "--address", self.folder / "sock"]

    def pull(self):
        return [*self.tool(), "images", "pull", "--snapshotter", "native", NAME]

    def digest(self, layers):
        content = set(self.output(*self.tool(), "content", "ls", "-q").split())
        assert content >= set(layers), f"{set(layers) - content} are missing"
        lines = [line.split() for line in self.output(*self.tool(), "images", "ls").splitlines()]
        return next(words[2] for words in lines if words[0] == NAME)

    def forget(self):
        for image in self.output(*self.tool(), "images", "ls", "-q").split():
            self.output(*self.tool(), "images", "rm", "--sync", image)
        # What a pull that failed has left.
        for digest in self.output(*self.tool(), "content", "ls", "-q").split():
            self.output(*self.tool(), "content", "rm", digest)


class Docker(Client):
    kind, programs, agent, puller = "docker", ["dockerd", "docker"], "docker/", "dockerd"

    def prepare(self):
        folder = self.folder
        # `ip netns exec` hides the cgroups, without which it does not start.
        name = self.system.name(self.network.name)
        resolv = f"mount --bind /etc/netns/{name}/resolv.conf /etc/resolv.conf"
        daemon = ["unshare", "--mount", "sh", "-c", f'{resolv} && exec "$0" "$@"', "dockerd", "--host", f"unix://{folder}/sock", "--data-root", folder / "root"]
        daemon += ["--exec-root", folder / "exec", "--pidfile", folder / "pid", "--storage-driver", "vfs"]
        daemon += ["--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-masq=false"]
        (folder / "daemon.json").write_text("{}")
        daemon += ["--config-file", folder / "daemon.json"]
        log = folder / "dockerd.log"
        self.process = self.system.start_inside(self.network.name, *daemon, log=log, env=self.env)

    def wait(self):
        def answers():
            assert self.process.poll() is None, (self.folder / "dockerd.log").read_text().splitlines()[-1]
            probe = self.system.command(self.network.name, *self.tool(), "version")
            return subprocess.run(probe, capture_output=True, check=False).returncode == 0

        until("dockerd", answers)

    def tool(self):
        return ["docker", "--host", f"unix://{self.folder}/sock"]

    def pull(self):
        return [*self.tool(), "pull", "--quiet", NAME]

    def digest(self, layers):
        found = self.output(*self.tool(), "image", "inspect", "--format", "{{index .RepoDigests 0}}", NAME)
        return found.split("@")[1]

    def forget(self):
        for image in self.output(*self.tool(), "images", "-q").split():
            self.output(*self.tool(), "rmi", "--force", image)


CLIENTS = [Skopeo, Podman, Buildah, Ctr, Docker]
