//! The file in which overrides outlive the process.
//!
//! **Invariants**: decoding returns the encoded overrides; if any part of a file is wrong, the whole file is refused.
//! **Not here**: writing the file to the disk ([`crate::files::state`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::standing::StandingOverrides;
use crate::files::state::StateForm;
use crate::inspect::view::OverrideView;
use crate::mirror::Forced;

/// The kind of file.
pub static FORM: StateForm = StateForm { name: "overrides", comment: "", is_old: |text| decode(text).is_some() };

/// The version of the format. A file with another version is refused.
const VERSION: u32 = 1;

#[derive(Deserialize, Serialize)]
struct StoreFile {
    version: u32,
    orders: BTreeMap<String, OverrideView>,
    /// The override that drains the server; `None` if the key is missing. An older version ignores the key, and is not drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<OverrideView>,
}

/// Overrides as the text of the file.
pub(super) fn encode(standing: &StandingOverrides) -> String {
    let orders = standing.mirrors.iter().map(|(name, order)| (name.to_string(), OverrideView::of(order))).collect();
    let file = StoreFile { version: VERSION, orders, server: standing.server.as_ref().map(OverrideView::of) };
    serde_json::to_string_pretty(&file).expect("orders are plain data") + "\n"
}

/// The overrides of a file's text; `None` if the text is not in the format of [`encode`].
pub(super) fn decode(text: &str) -> Option<StandingOverrides> {
    let file: StoreFile = serde_json::from_str(text).ok().filter(|file: &StoreFile| file.version == VERSION)?;
    let one = |(name, order): (String, OverrideView)| Some((name.into(), order.order()?));
    let mirrors = file.orders.into_iter().map(one).collect::<Option<_>>()?;
    let server = match file.server {
        Some(order) => Some(order.order().filter(|order| order.forced == Forced::Drain)?),
        None => None,
    };
    Some(StandingOverrides { mirrors, server })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UnixTime;
    use crate::mirror::{Override, Reason};

    fn standing() -> StandingOverrides {
        let order = |forced, reason: &str, until| Override {
            forced,
            reason: Reason::parse(reason).unwrap(),
            who: "uid 0".into(),
            since: UnixTime(1_700_000_000),
            until,
        };
        let one = order(Forced::Drain, "new \"disks\"", Some(UnixTime(1_700_003_600)));
        let mirrors = [("a b/ü".into(), one), ("b".into(), order(Forced::Up, "x", None))].into();
        StandingOverrides { mirrors, server: Some(order(Forced::Drain, "new kernel", None)) }
    }

    #[test]
    fn overrides_read_back_as_what_they_were() {
        assert_eq!(decode(&encode(&standing())), Some(standing()));
        let nothing = StandingOverrides::default();
        assert_eq!(decode(&encode(&nothing)), Some(nothing.clone()));
        assert!(!encode(&nothing).contains("server"), "a version without it wrote the same");
    }

    #[test]
    fn a_file_is_taken_whole_or_not_at_all() {
        let text = encode(&standing());
        for len in 0..text.trim_end().len() {
            if text.is_char_boundary(len) {
                assert_eq!(decode(&text[..len]), None, "cut after {len} octets");
            }
        }
        for (from, to) in
            [("drain", "drown"), ("new", "\\u0000"), ("2023", "20x3"), ("\"version\": 1", "\"version\": 2")]
        {
            let changed = text.replacen(from, to, 1);
            assert!(changed != text && decode(&changed).is_none(), "{changed}");
        }
        assert_eq!(decode("[]"), None);
    }
}
