//! The canonical order of names.
//!
//! **Invariants**: names that compare equal are equal as [`Name`] compares names, without regard to case; a name comes
//! before all names below it, and those before all others that follow it.
//!
//! RFC 4034 §6.1.

use std::cmp::Ordering;

use arrayvec::ArrayVec;

use super::{MAX_LABELS, MAX_NAME_LEN, Name, NameBuf};

impl Ord for Name<'_> {
    /// Compares by label from the root on, byte by byte in lower case; an absent label comes first.
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, others) = (labels(*self), labels(*other));
        let lower = |label: &[u8]| label.iter().map(u8::to_ascii_lowercase).collect::<ArrayVec<u8, 63>>();
        let pairs = own.iter().rev().zip(others.iter().rev());
        let first = pairs.map(|(own, other)| lower(own).cmp(&lower(other))).find(|order| order.is_ne());
        first.unwrap_or_else(|| own.len().cmp(&others.len()))
    }
}

impl PartialOrd for Name<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NameBuf {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_name().cmp(&other.as_name())
    }
}

impl PartialOrd for NameBuf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn labels(name: Name<'_>) -> ArrayVec<&[u8], MAX_LABELS> {
    name.labels().collect()
}

/// The most bytes of a sort key: each byte of a name takes two at most.
pub(crate) const MAX_SORT_KEY_LEN: usize = 2 * MAX_NAME_LEN;

impl Name<'_> {
    /// Appends bytes whose order, as bytes, is the canonical order of names, so that sorting many names splits each name
    /// once.
    ///
    /// The labels come from the root on, in lower case, each followed by 0. A byte 0 or 1 in a label is written as 1
    /// followed by 1 or 2, so that 0 only ends labels.
    pub(crate) fn push_sort_key(self, key: &mut impl Extend<u8>) {
        for label in labels(self).iter().rev() {
            let octets = label.iter().map(u8::to_ascii_lowercase);
            if label.iter().all(|octet| *octet > 1) {
                key.extend(octets);
            } else {
                octets.for_each(|octet| match octet {
                    0 | 1 => key.extend([1, octet + 1]),
                    other => key.extend([other]),
                });
            }
            key.extend([0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::name;

    fn key(name: &NameBuf) -> Vec<u8> {
        let mut key = Vec::new();
        name.as_name().push_sort_key(&mut key);
        key
    }

    /// The example of RFC 4034 §6.1.
    const SORTED: [&str; 9] = [
        "example",
        "a.example",
        "yljkjljk.a.example",
        "Z.a.example",
        "zABC.a.EXAMPLE",
        "z.example",
        "\\001.z.example",
        "*.z.example",
        "\\200.z.example",
    ];

    #[test]
    fn rfc4034_s6_1_names_sort_as_in_its_example() {
        let names = SORTED.map(name);
        assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(names.map(|name| key(&name)).is_sorted());
    }

    #[test]
    fn keys_compare_as_names_do() {
        let labels = ["", "a.", "A.", "\\000.", "\\001.", "\\002.", "a\\000.", "a\\001b.", "ab.", "\\255."];
        let names: Vec<NameBuf> = labels
            .iter()
            .flat_map(|first| labels.iter().map(move |second| name(&format!("{first}{second}example"))))
            .collect();
        for one in &names {
            for other in &names {
                assert_eq!(one.cmp(other), key(one).cmp(&key(other)), "{one} {other}");
                assert_eq!(one.cmp(other).is_eq(), one == other, "{one} {other}");
            }
        }
    }
}
