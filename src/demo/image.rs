//! A small image as an OCI image layout: one layer with one file, a config, a manifest, an index.
//!
//! **Invariants**: every digest and size is that of the bytes; any OCI tool can read the layout.
//! **Not here**: serving it ([`super::mirror`]).
//!
//! OCI image specification v1.1: layout, index, manifest, config; POSIX.1-1988 ustar for the layer.

use std::io;
use std::path::Path;

use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::files;

/// The repository.
pub(super) const REPOSITORY: &str = "pause";
/// The tag.
pub(super) const TAG: &str = "3.9";
/// The type of the manifest.
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// The content of the layer's only file.
const HELLO: &str = "Φάρος: this came from the nearest mirror.\n";

/// Bytes under their digest.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    /// `sha256:` and 64 hexadecimal digits.
    pub(super) digest: String,
    pub(super) octets: Bytes,
}

impl Blob {
    fn new(octets: Vec<u8>) -> Self {
        Blob { digest: digest_of(&octets), octets: octets.into() }
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest, "size": self.octets.len()})
    }
}

/// The digest of bytes, as registries write it.
pub(super) fn digest_of(octets: &[u8]) -> String {
    format!("sha256:{}", files::digest_of(octets))
}

/// The image.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) manifest: Blob,
    pub(super) config: Blob,
    pub(super) layer: Blob,
}

impl Image {
    /// Makes the image; its bytes are the same each time.
    pub(super) fn new() -> Self {
        let layer = Blob::new(tar("hello.txt", HELLO.as_bytes()));
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
        });
        let config = Blob::new(config.to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": config.descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [layer.descriptor("application/vnd.oci.image.layer.v1.tar")],
        });
        Image { manifest: Blob::new(manifest.to_string().into_bytes()), config, layer }
    }

    /// Writes the layout into a folder.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs)?;
        for blob in [&self.manifest, &self.config, &self.layer] {
            std::fs::write(blobs.join(blob.digest.trim_start_matches("sha256:")), &blob.octets)?;
        }
        let mut manifest = self.manifest.descriptor(MANIFEST_TYPE);
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": TAG});
        let index = json!({"schemaVersion": 2, "manifests": [manifest]});
        std::fs::write(folder.join("index.json"), index.to_string())?;
        std::fs::write(folder.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())
    }
}

/// The size of a header and of a unit of content, in bytes.
const RECORD: usize = 512;

/// An archive of one file, owned by root, of 1970.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; RECORD];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", content.len()));
    put(136, "00000000000");
    // The checksum is computed with spaces in its field.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = header.iter().map(|&octet| u32::from(octet)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(RECORD) + 2 * RECORD, 0);
    archive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_holds_what_its_digests_say() {
        let folder = tempfile::tempdir().unwrap();
        Image::new().write(folder.path()).unwrap();
        let read = |path: &str| std::fs::read(folder.path().join(path)).unwrap();
        let parse = |octets: &[u8]| serde_json::from_slice::<Value>(octets).unwrap();
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap();
            let octets = read(&format!("blobs/sha256/{}", digest.strip_prefix("sha256:").unwrap()));
            assert_eq!(
                (digest_of(&octets), octets.len() as u64),
                (digest.into(), descriptor["size"].as_u64().unwrap())
            );
            octets
        };
        let manifest = parse(&blob(&parse(&read("index.json"))["manifests"][0]));
        let (config, layer) = (parse(&blob(&manifest["config"])), blob(&manifest["layers"][0]));
        assert_eq!(config["rootfs"]["diff_ids"][0], digest_of(&layer));
    }

    #[test]
    fn the_layer_is_an_archive() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("layer.tar"), Image::new().layer.octets).unwrap();
        let tar = std::process::Command::new("tar").args(["-xOf", "layer.tar"]).current_dir(&folder).output().unwrap();
        assert_eq!((String::from_utf8(tar.stdout).unwrap().as_str(), &tar.stderr[..]), (HELLO, &b""[..]));
    }
}
