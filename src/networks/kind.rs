//! Kinds of labels: the table that loaders, rules, `check` and `explain` use.
//!
//! A new kind needs a variant, a row, the code of its warning (`base::warnings`), and code in the loader of each file that has such
//! labels (`load::networks`).
//!
//! **Invariants**: the order of the variants is that of keys in JSON and of words in `explain`.
//! **Not here**: the labels of an address ([`super::Labels`]), the check of a value's form (`config`).

use std::fmt;

use crate::base::words::words;

words! {
    /// A kind of label. Its word is the key of a rule's condition, and of the value in the JSON of `explain`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum LabelKind {
        /// The label behind the prefix in a hand-written list.
        Label = "label",
        /// The cloud provider: `aws`, `gcp`, `azure`, `oci`, or the one that the configuration sets.
        Provider = "provider",
        /// The provider's region, as the provider writes it.
        Region = "region",
        /// A site of the provider, as the provider writes it: a region's own, or one away from it.
        Zone = "zone",
        /// The number of the autonomous system that announces the prefix.
        Asn = "asn",
        /// ISO 3166-1 alpha-2, upper case.
        Country = "country",
        /// `AF`, `AN`, `AS`, `EU`, `NA`, `OC` or `SA`.
        Continent = "continent",
        /// ISO 3166-2, like `US-CA`.
        Subdivision = "subdivision",
    }
}

/// Properties of a kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KindRow {
    /// The form of its values.
    pub(crate) form: ValueForm,
    /// The labels that come from one source together.
    pub(crate) group: Group,
    /// The noun for one value and for several.
    pub(crate) nouns: [&'static str; 2],
    /// The networks that have such labels: the remedy if no network has any.
    pub(crate) source: &'static str,
    /// The code of the warning about a value that no network has.
    pub(crate) unknown: &'static str,
    /// The documentation of the condition: its effect, an empty line, the reason.
    pub(crate) doc: &'static str,
    /// A value of the condition, as TOML.
    pub(crate) example: &'static str,
}

/// The form of a kind's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueForm {
    /// A whole number; 0 is no value.
    Number {
        /// The least that a rule may name.
        least: u32,
        /// The greatest.
        greatest: u32,
    },
    /// One line of text, as the source writes it.
    Text,
    /// A word in lower case.
    Word,
    /// A country's two letters in upper case.
    Country,
    /// A continent's two letters in upper case.
    Continent,
    /// A country, a hyphen and the code of a part of it.
    Subdivision,
}

impl ValueForm {
    /// The form in a few words, for the documentation.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            ValueForm::Number { .. } => "number",
            ValueForm::Text => "text",
            ValueForm::Word => "word in lower case",
            ValueForm::Country => "two letters in upper case",
            ValueForm::Continent => "`AF`, `AN`, `AS`, `EU`, `NA`, `OC` or `SA`",
            ValueForm::Subdivision => "code like `US-CA`",
        }
    }
}

/// Group of kinds. An address has the labels of a group from one source: the first source that has any of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// Labels that mean something only with the name of their source. Such labels are never merged, and a rule names the
    /// source too.
    Entry,
    /// A provider and its parts: a region means nothing without its provider.
    Provider,
    /// The announcing network.
    Announcer,
    /// The place: the continent of one source does not fit the country of another.
    Place,
}

impl Group {
    /// The number of groups.
    pub(super) const COUNT: usize = Group::Place as usize + 1;
}

impl LabelKind {
    /// The number of kinds.
    pub(crate) const COUNT: usize = LabelKind::ALL.len();

    /// The row of the kind.
    pub(crate) const fn row(self) -> &'static KindRow {
        match self {
            LabelKind::Label => &KindRow {
                form: ValueForm::Text,
                group: Group::Entry,
                nouns: ["label", "labels"],
                source: "a `list`",
                unknown: "unknown-label",
                doc: "Condition: the entry of the client in `network`, which must be a list, has one of these labels.",
                example: "\"office\"",
            },
            LabelKind::Provider => &KindRow {
                form: ValueForm::Word,
                group: Group::Provider,
                nouns: ["provider", "providers"],
                source: "a feed, or `provider = \"…\"` at a network",
                unknown: "unknown-provider",
                doc: "Condition: one of these providers, as feeds name them.",
                example: "\"aws\"",
            },
            LabelKind::Region => &KindRow {
                form: ValueForm::Text,
                group: Group::Provider,
                nouns: ["region", "regions"],
                source: "a provider's feed",
                unknown: "unknown-region",
                doc: "Condition: one of these regions, as feeds name them.",
                example: "[\"us-east-1\", \"us-east-2\"]",
            },
            LabelKind::Zone => &KindRow {
                form: ValueForm::Text,
                group: Group::Provider,
                nouns: ["zone", "zones"],
                source: "the AWS feed",
                unknown: "unknown-zone",
                doc: "Condition: one of these zones, as the AWS feed names them (`network_border_group`): a local zone or Wavelength \
                      zone, or a region without its zones. `region` goes on to match the zones of the region.\n\n\
                      A zone can be far from its region: Lagos belongs to the region of Cape Town.",
                example: "\"af-south-1-los-1\"",
            },
            LabelKind::Asn => &KindRow {
                form: ValueForm::Number { least: 1, greatest: u32::MAX },
                group: Group::Announcer,
                nouns: ["autonomous system", "autonomous systems"],
                source: "an ASN database (`mmdb`)",
                unknown: "unknown-asn",
                doc: "Condition: one of these autonomous systems.\n\n\
                      0 is never announced (RFC 7607); numbers have 32 bits (RFC 6793).",
                example: "[64512, 64513]",
            },
            LabelKind::Country => &KindRow {
                form: ValueForm::Country,
                group: Group::Place,
                nouns: ["country", "countries"],
                source: "a Country or City database (`mmdb`), or a geofeed",
                unknown: "unknown-country",
                doc: "Condition: one of these countries (ISO 3166-1).",
                example: "[\"DE\", \"FR\"]",
            },
            LabelKind::Continent => &KindRow {
                form: ValueForm::Continent,
                group: Group::Place,
                nouns: ["continent", "continents"],
                source: "a Country or City database (`mmdb`), or a geofeed",
                unknown: "unknown-continent",
                doc: "Condition: one of these continents.",
                example: "\"EU\"",
            },
            LabelKind::Subdivision => &KindRow {
                form: ValueForm::Subdivision,
                group: Group::Place,
                nouns: ["subdivision", "subdivisions"],
                source: "a City database (`mmdb`), or a geofeed",
                unknown: "unknown-subdivision",
                doc: "Condition: one of these subdivisions (ISO 3166-2).",
                example: "\"US-CA\"",
            },
        }
    }

    /// A value with its kind, as `explain` shows it: `region us-east-1`.
    pub(crate) fn shown(self, value: impl fmt::Display) -> String {
        match self {
            LabelKind::Asn => format!("AS{value}"),
            kind => format!("{} {value}", kind.as_str()),
        }
    }

    /// True for a part of a provider, like a region: two providers may have values of one name.
    pub(crate) fn is_of_provider(self) -> bool {
        self.row().group == Group::Provider && self != LabelKind::Provider
    }
}
