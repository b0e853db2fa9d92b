//! The region of a provider that is nearest to another, as guessed from their names.
//!
//! Providers name regions after places: an area first, then a direction or city, then a number. Regions that share more of
//! that are usually closer. The result is a hint for the operator, never a decision.

use std::cmp::Reverse;

/// Names without a separator (`westus3`) share an area if at least this many first letters are equal.
const LETTERS_OF_AN_AREA: usize = 4;

/// The nearest of `mapped` to `region`; `None` if nothing is in the same area.
pub(super) fn nearest_region<'a>(region: &str, mapped: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (stem, number) = split_number(region);
    mapped
        .into_iter()
        .filter_map(|other| {
            let (other_stem, other_number) = split_number(other);
            let prefix = common(stem.bytes(), other_stem.bytes());
            let same_area = area(region) == area(other);
            // Of `us-gov-west-1` and `us-west-1`, the end says more than that both begin with `us-`.
            let suffix = common(stem.bytes().rev(), other_stem.bytes().rev());
            let near = same_area || prefix >= LETTERS_OF_AN_AREA;
            near.then_some(((same_area, prefix, suffix, Reverse(number.abs_diff(other_number)), Reverse(other)), other))
        })
        .max_by_key(|(score, _)| *score)
        .map(|(_, other)| other)
}

/// The first word.
fn area(region: &str) -> &str {
    region.split(['-', '_']).next().unwrap_or(region)
}

/// A name without the number at its end, and that number; 0 if there is no number.
fn split_number(region: &str) -> (&str, u64) {
    let stem = region.trim_end_matches(|letter: char| letter.is_ascii_digit());
    (stem, region[stem.len()..].parse().unwrap_or(0))
}

/// The number of bytes that two sequences share at their beginning.
fn common(a: impl Iterator<Item = u8>, b: impl Iterator<Item = u8>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_share_more_are_nearer() {
        let aws = ["us-east-1", "us-west-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-northeast-1"];
        for (region, expected) in [
            ("us-west-3", Some("us-west-2")),
            ("us-east-2", Some("us-east-1")),
            ("us-gov-west-1", Some("us-west-1")),
            ("eu-central-2", Some("eu-central-1")),
            ("ap-northeast-3", Some("ap-northeast-1")),
            ("sa-east-1", None),
        ] {
            assert_eq!(nearest_region(region, aws), expected, "{region}");
        }
        assert_eq!(nearest_region("europe-west10", ["europe-west1", "us-west1"]), Some("europe-west1"));
        assert_eq!(nearest_region("westus3", ["westus2", "eastus", "westeurope"]), Some("westus2"));
        assert_eq!(nearest_region("x99999999999999999999999", ["x1"]), None);
        assert_eq!(nearest_region("us-west-3", []), None);
    }
}
