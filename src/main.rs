//! The `pharos` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    pharos::cli::run()
}
