//! The labels in an explanation, each kind by its name.
//!
//! **Invariants**: the JSON has a key for each kind, null if it has no value; an unknown key, which another version may
//! write, is ignored.
//! **Not here**: the kinds ([`crate::networks::LabelKind`]).

use std::collections::BTreeMap;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::base::geo::Coordinates;
use crate::networks::{LabelKind, LabelValue, Labels, ValueForm};

/// The key of the coordinates.
const COORDINATES: &str = "coordinates";

/// Labels, of an entry or of all sources together.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct LabelsView {
    values: [Option<LabelValue>; LabelKind::COUNT],
    /// Degrees north and east.
    coordinates: Option<(f64, f64)>,
}

impl LabelsView {
    /// The labels as an explanation shows them.
    pub(crate) fn of(labels: &Labels<'_>) -> Self {
        let mut view =
            LabelsView { coordinates: labels.coordinates.map(Coordinates::degrees), ..LabelsView::default() };
        for (kind, value) in labels.iter() {
            view.values[kind as usize] = Some(match value {
                LabelValue::Text(text) => text.into(),
                LabelValue::Number(number) => number.into(),
            });
        }
        view
    }

    fn by_kind(&self) -> impl Iterator<Item = (LabelKind, Option<&LabelValue>)> {
        LabelKind::ALL.into_iter().zip(self.values.iter().map(Option::as_ref))
    }

    /// The labels in a row: `provider aws, region us-east-1`. Empty if there are none.
    pub(crate) fn words(&self) -> String {
        let value = |(kind, value): (LabelKind, Option<&LabelValue>)| Some(kind.shown(value?));
        let place = self.coordinates.map(|(north, east)| format!("at {north}, {east}"));
        self.by_kind().filter_map(value).chain(place).collect::<Vec<_>>().join(", ")
    }
}

impl Serialize for LabelsView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(LabelKind::COUNT + 1))?;
        for (kind, value) in self.by_kind() {
            match value {
                Some(LabelValue::Text(text)) => map.serialize_entry(kind.as_str(), &**text)?,
                Some(LabelValue::Number(number)) => map.serialize_entry(kind.as_str(), number)?,
                None => map.serialize_entry(kind.as_str(), &())?,
            }
        }
        map.serialize_entry(COORDINATES, &self.coordinates)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for LabelsView {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map: BTreeMap<String, Value> = Deserialize::deserialize(deserializer)?;
        let value = |kind: LabelKind| match (map.get(kind.as_str())?, kind.row().form) {
            (Value::Number(number), ValueForm::Number { .. }) => Some(u32::try_from(number.as_u64()?).ok()?.into()),
            (Value::String(text), _) => Some((&**text).into()),
            _ => None,
        };
        let degrees = |at: usize| map.get(COORDINATES)?.get(at)?.as_f64();
        Ok(LabelsView { values: LabelKind::ALL.map(value), coordinates: degrees(0).zip(degrees(1)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_every_kind_and_reads_back() {
        let labels = Labels::of(LabelKind::Asn, 64496).at(Coordinates::from_degrees(50.11, 8.68));
        let view = LabelsView::of(&labels.with(LabelKind::Country, "DE"));
        let json = serde_json::to_string(&view).unwrap();
        let value = |kind| match kind {
            LabelKind::Asn => "64496",
            LabelKind::Country => "\"DE\"",
            _ => "null",
        };
        let values = LabelKind::ALL.map(|kind| format!("\"{}\":{},", kind.as_str(), value(kind))).concat();
        assert_eq!(json, format!("{{{values}\"coordinates\":[50.11,8.68]}}"));
        assert_eq!(serde_json::from_str::<LabelsView>(&json).unwrap(), view);
        assert_eq!(view.words(), "AS64496, country DE, at 50.11, 8.68");
        // An earlier version lacks kinds, a later one has more.
        let other: LabelsView = serde_json::from_str(r#"{"asn":64496,"continental":"DE","country":null}"#).unwrap();
        assert_eq!(other, LabelsView::of(&Labels::of(LabelKind::Asn, 64496)));
    }
}
