//! The file in which orders outlive the process.
//!
//! **Invariants**: what is read back is what was written; a file of which any part is wrong is refused whole.
//! **Not here**: writing it to the disk ([`crate::files::state`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::files::state::Form;
use crate::inspect::view::OrderView;
use crate::snapshot::Orders;

/// The kind of file.
pub static FORM: Form = Form { name: "overrides", comment: "", is_old: |text| decode(text).is_some() };

/// The form of the file; another one is for another program.
const VERSION: u32 = 1;

#[derive(Deserialize, Serialize)]
struct File {
    version: u32,
    orders: BTreeMap<String, OrderView>,
}

/// Orders as the text of the file.
pub(super) fn encode(orders: &Orders) -> String {
    let orders = orders.iter().map(|(name, order)| (name.to_string(), OrderView::of(order))).collect();
    let file = File { version: VERSION, orders };
    serde_json::to_string_pretty(&file).expect("orders are plain data") + "\n"
}

/// The orders of a file's text; none where it is not what [`encode`] makes.
pub(super) fn decode(text: &str) -> Option<Orders> {
    let file: File = serde_json::from_str(text).ok().filter(|file: &File| file.version == VERSION)?;
    file.orders.into_iter().map(|(name, order)| Some((name.into(), order.order()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UnixTime;
    use crate::mirror::{Forced, Order, Reason};

    fn orders() -> Orders {
        let order = |forced, reason: &str, until| Order {
            forced,
            reason: Reason::parse(reason).unwrap(),
            who: "uid 0".into(),
            since: UnixTime(1_700_000_000),
            until,
        };
        let one = order(Forced::Drain, "new \"disks\"", Some(UnixTime(1_700_003_600)));
        [("a b/ü".into(), one), ("b".into(), order(Forced::Up, "x", None))].into()
    }

    #[test]
    fn orders_read_back_as_what_they_were() {
        assert_eq!(decode(&encode(&orders())), Some(orders()));
        assert_eq!(decode(&encode(&Orders::new())), Some(Orders::new()));
    }

    #[test]
    fn a_file_is_taken_whole_or_not_at_all() {
        let text = encode(&orders());
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
