//! The providers' real feeds, see [`needs::data`].

use serde_json::Value;

use super::needs;

/// One of them. `None` if it does not exist, which is counted.
pub fn read(file: &str) -> Option<Value> {
    let text = std::fs::read(needs::data(file)?).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}
