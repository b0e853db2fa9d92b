//! The name of the host that the process runs on, which stands in for one that no file has.

/// The name of the host (uname(2)); `None` if it has none.
pub(crate) fn host_name() -> Option<String> {
    let system = rustix::system::uname();
    Some(system.nodename().to_string_lossy().into_owned()).filter(|name| !name.is_empty() && name != "(none)")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_has_a_name() {
        assert!(super::host_name().is_some());
    }
}
