//! The file in which the last 24 hours outlive the process.
//!
//! **Invariants**: reading a written file gives the same steps; a file of which any part is wrong is refused whole.
//! **Not here**: writing it to the disk ([`crate::files::state`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ring::{Ring, SeenSteps};
use crate::base::text::hex;
use crate::config::limits;
use crate::files::state::StateForm;

/// The kind of file. No version before wrote one.
pub static FORM: StateForm = StateForm { name: "history", comment: "", is_old: |_| false };

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct KeptHistory {
    step: u64,
    answers: Vec<Option<u64>>,
    /// For each step two hexadecimal digits.
    mirrors: BTreeMap<String, String>,
}

/// The text of the file.
pub(super) fn encode(ring: &Ring) -> String {
    let kept = KeptHistory {
        step: ring.step,
        answers: ring.answers.to_vec(),
        mirrors: ring.mirrors.iter().map(|(name, steps)| (name.to_string(), hex(steps))).collect(),
    };
    serde_json::to_string(&kept).expect("steps are plain data") + "\n"
}

/// The steps of a file's text; `None` if it does not have the form that [`encode`] writes.
pub(super) fn decode(text: &str) -> Option<Ring> {
    let kept: KeptHistory = serde_json::from_str(text).ok()?;
    let steps = |digits: &str| -> Option<SeenSteps> {
        let all: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(seen).collect();
        all?.try_into().ok()
    };
    let one = |(name, digits): (String, String)| Some((Arc::from(name), steps(&digits)?));
    if kept.mirrors.len() > limits::MAX_ITEMS {
        return None;
    }
    let mirrors = kept.mirrors.into_iter().map(one).collect::<Option<_>>()?;
    Some(Ring { step: kept.step, answers: kept.answers.try_into().ok()?, mirrors, total: 0 })
}

fn seen(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.len() == 2)?;
    u8::from_str_radix(text, 16).ok().filter(|_| !text.starts_with('+'))
}

#[cfg(test)]
mod tests {
    use super::super::ring::SeenState;
    use super::*;
    use crate::base::time::UnixTime;

    #[test]
    fn steps_read_back_and_a_file_is_taken_whole_or_not_at_all() {
        let mut ring = Ring::new(UnixTime(1_800_000_000));
        let names = [("a \"b\"".into(), Some(SeenState::Down)), ("c".into(), Some(SeenState::Overridden))];
        ring.observe(UnixTime(1_800_000_900), 0, names.into_iter());
        let text = encode(&ring);
        assert_eq!(decode(&text), Some(ring));
        for len in 0..text.trim_end().len() {
            assert_eq!(decode(&text[..len]), None, "cut after {len} bytes");
        }
        for (from, to) in
            [("04\"", "0\""), ("04\"", "+4\""), ("10\"", "1x\""), ("[null", "[null,null"), ("step", "steps")]
        {
            let changed = text.replacen(from, to, 1);
            assert!(changed != text && decode(&changed).is_none(), "{changed}");
        }
    }
}
