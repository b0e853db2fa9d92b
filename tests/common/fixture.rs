//! The snapshot that cases are asked of: `tests/engine/pharos.toml`, built as the server builds it.

use std::path::{Path, PathBuf};

use pharos::base::time::Generation;
use pharos::compile;
use pharos::mirror::{Health, Standing};
use pharos::snapshot::{Change, Snapshot};

/// The folder of the cases, zones and networks.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine")
}

/// The config file.
pub fn config() -> PathBuf {
    folder().join("pharos.toml")
}

/// The snapshot that is compiled from the config file.
pub fn snapshot() -> Snapshot {
    match compile::build(&config(), Generation(1)) {
        Ok(built) => built.snapshot,
        Err(problems) => panic!("{problems:#?}"),
    }
}

/// The same with some mirrors in another state of health.
pub fn with_health(snapshot: &Snapshot, health: &[(String, Health)]) -> Snapshot {
    health.iter().fold(snapshot.clone(), |snapshot, (name, health)| {
        let id = snapshot.mirror(name).expect("a mirror of the fixture");
        let mirror = &snapshot.mirrors()[id.index()];
        snapshot.after(&Change::standing(mirror, &Standing::all(mirror, *health)))
    })
}
