"""An image to pull: an OCI image layout with a config and several layers, the same in every run.

Every digest and size is that of the octets; layers are gzipped archives of noise, so that they do not get smaller.
"""

import gzip
import hashlib
import io
import json
import random
import tarfile
from pathlib import Path

# Long enough, at the speed that mirrors are held to, for a fault to come in the middle of each.
LAYER_OCTETS = [768 * 1024, 640 * 1024, 512 * 1024]

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


class Image:
    """A layout on disk, and what is in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.blobs = folder / "blobs" / "sha256"
        self.blobs.mkdir(parents=True)
        layers, contents = [], []
        for number, octets in enumerate(LAYER_OCTETS):
            archive = tar(f"layer-{number}", random.Random(number).randbytes(octets))
            contents.append("sha256:" + hashlib.sha256(archive).hexdigest())
            packed = gzip.compress(archive, compresslevel=1, mtime=0)
            layers.append(self.add(packed, "application/vnd.oci.image.layer.v1.tar+gzip"))
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/layer-0"]},
            "rootfs": {"type": "layers", "diff_ids": contents},
            "history": [{"created_by": f"layer {number}"} for number in range(len(layers))],
        }
        config = self.add(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers}
        manifest = self.add(json.dumps(manifest).encode(), MANIFEST_TYPE)
        index = {"schemaVersion": 2, "manifests": [manifest | {"annotations": {"org.opencontainers.image.ref.name": "1"}}]}
        (folder / "index.json").write_text(json.dumps(index))
        (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.manifest = manifest["digest"]
        self.config = config
        self.layers = [layer["digest"] for layer in layers]

    def add(self, octets: bytes, media_type: str) -> dict:
        digest = hashlib.sha256(octets).hexdigest()
        (self.blobs / digest).write_bytes(octets)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(octets)}

    def digests(self) -> set[str]:
        """Everything but the manifest."""
        return {self.config["digest"], *self.layers}


def tar(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()
