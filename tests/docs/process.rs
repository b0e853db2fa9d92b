//! Programs that a page's recipe starts: each is one process in a folder of its own, and ends when it is dropped.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::common::needs::find_program;
use super::common::server::PATIENCE;

/// A running program.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts an installed program in a folder, which also gets its log.
    pub(crate) fn start(name: &str, arguments: &[&str], folder: &Path, environment: &[(&str, &str)]) -> Self {
        let program = find_program(name).unwrap_or_else(|| panic!("{name} is not installed"));
        let log = folder.join(format!("{name}.log"));
        let file = fs::File::create(&log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Process { name: name.into(), child, log }
    }

    /// Waits until a condition holds; fails if the program ends before.
    pub(crate) fn wait_until(&mut self, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended: {ended:?}\n{}", self.name, self.log());
            assert!(Instant::now() < deadline, "{} is not ready\n{}", self.name, self.log());
            // Between two attempts to connect or ask.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until connections to an address are accepted.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) {
        self.wait_until(|| TcpStream::connect(address).is_ok());
    }

    /// The output of the process to both channels.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGTERM first: nginx and gdnsd have further processes that a SIGKILL would leave behind.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
