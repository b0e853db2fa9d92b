//! Compressed contents and archives: recognised by their first bytes, whatever the header of a response says.
//!
//! **Invariants**: the unpacked content has a bound, whatever the packed content promises; an archive has exactly one database.
//! **Not here**: `Content-Encoding` as a header, because the bytes show it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::files::kept;

/// The first bytes of gzip (RFC 1952 §2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Layers of packing: an archive that a server has compressed once more.
const MAX_LAYERS: usize = 3;

/// The place of `ustar` in a tar archive, and the bytes that are read to recognise a format.
const TAR_MAGIC: usize = 257;

/// Unpacks a download in its place, until it is neither compressed nor an archive. The error is for an operator.
pub(super) fn unpack(path: &Path, mut file: File, max_len: u64) -> Result<File, String> {
    for layer in 0.. {
        let mut start = Vec::new();
        let read =
            file.seek(SeekFrom::Start(0)).and_then(|_| (&file).take(TAR_MAGIC as u64 + 5).read_to_end(&mut start));
        read.and_then(|_| file.seek(SeekFrom::Start(0))).map_err(disk)?;
        let is_tar = start.get(TAR_MAGIC..).is_some_and(|magic| magic == b"ustar");
        if !is_tar && !start.starts_with(&GZIP) {
            return Ok(file);
        }
        if layer == MAX_LAYERS {
            break;
        }
        // The packed file has no name from here on, and is gone when it has been read.
        let mut unpacked = kept::begin(path).map_err(disk)?;
        if is_tar {
            database(&mut file, &mut unpacked, max_len)?;
        } else {
            copy(&mut MultiGzDecoder::new(&file), &mut unpacked, max_len)?;
        }
        file = unpacked;
    }
    Err(format!("it is packed more than {MAX_LAYERS} times"))
}

/// Copies the one database of an archive.
fn database(archive: &mut File, out: &mut File, max_len: u64) -> Result<(), String> {
    let damaged = |error: io::Error| format!("its archive is damaged: {error}");
    let mut found = false;
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let is_database = entry.header().entry_type().is_file()
            && entry.path_bytes().rsplit(|byte| *byte == b'.').next().is_some_and(|end| end == b"mmdb");
        if !is_database {
            continue;
        }
        if std::mem::replace(&mut found, true) {
            return Err("its archive has several databases".to_string());
        }
        copy(&mut entry, out, max_len)?;
    }
    if found { Ok(()) } else { Err("its archive has no database (`*.mmdb`)".to_string()) }
}

fn copy(from: &mut dyn Read, to: &mut File, max_len: u64) -> Result<(), String> {
    let mut piece = vec![0; 1 << 16];
    let mut len = 0u64;
    loop {
        let count = from.read(&mut piece).map_err(|error| format!("it cannot be unpacked: {error}"))?;
        len += count as u64;
        match count {
            0 => return Ok(()),
            _ if len > max_len => return Err(format!("unpacked, it has more than {} MiB", max_len >> 20)),
            _ => to.write_all(&piece[..count]).map_err(disk)?,
        }
    }
}

/// A failed write.
pub(super) fn disk(error: io::Error) -> String {
    format!("it cannot be written: {}", crate::files::words(&error))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const MAX_LEN: u64 = 1 << 20;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, name, *bytes).unwrap();
        }
        archive.into_inner().unwrap()
    }

    /// The unpacked content, or the reason.
    fn unpacked(packed: &[u8]) -> Result<Vec<u8>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("geo.mmdb");
        let mut file = kept::begin(&path).unwrap();
        file.write_all(packed).unwrap();
        unpack(&path, file, MAX_LEN)?;
        Ok(std::fs::read(kept::download_path(&path)).unwrap())
    }

    #[test]
    fn gzip_and_archives_are_unpacked_whatever_the_order() {
        let database: &[u8] = b"a database";
        let archive = tar(&[("Geo_20261124/COPYRIGHT.txt", b"c"), ("Geo_20261124/Geo.mmdb", database)]);
        for packed in [database.to_vec(), gzip(database), gzip(&gzip(database)), archive.clone(), gzip(&archive)] {
            assert_eq!(unpacked(&packed).unwrap(), database);
        }
    }

    #[test]
    fn what_cannot_be_unpacked_is_refused_with_the_reason() {
        let cut = gzip(&[7; 9000]);
        let zeros = gzip(&vec![0; MAX_LEN as usize + 1]);
        let layers = gzip(&gzip(&gzip(&gzip(b"x"))));
        let two = tar(&[("a.mmdb", b"1"), ("b.mmdb", b"2")]);
        let archive = tar(&[("a.mmdb", &[1; 5000])]);
        for (packed, reason) in [
            (&cut[..cut.len() / 2], "cannot be unpacked"),
            (&zeros, "more than 1 MiB"),
            (&layers, "more than 3 times"),
            (&two, "several databases"),
            (&tar(&[("a.csv", b"1")]), "no database"),
            (&archive[..2000], "damaged"),
        ] {
            let error = unpacked(packed).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
