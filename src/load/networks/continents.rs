//! The continent of each country, as GeoNames and MaxMind assign them.
//!
//! **Invariants**: every country of ISO 3166-1 and `XK` (Kosovo) is in exactly one list.

/// Continents and their countries, in the alphabet's order.
const CONTINENTS: [(&str, &str); 7] = [
    (
        "AF",
        "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW MZ NA NE \
         NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW",
    ),
    ("AN", "AQ BV GS HM TF"),
    (
        "AS",
        "AE AF AM AZ BD BH BN BT CC CN GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP OM PH \
         PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE",
    ),
    (
        "EU",
        "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME MK \
         MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK",
    ),
    (
        "NA",
        "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR SV SX TC TT \
         US VC VG VI",
    ),
    ("OC", "AS AU CK CX FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS"),
    ("SA", "AR BO BR CL CO EC FK GF GY PE PY SR UY VE"),
];

/// The continent of a country (ISO 3166-1 alpha-2, upper case).
pub(super) fn of(country: &str) -> Option<&'static str> {
    CONTINENTS
        .iter()
        .find(|(_, countries)| countries.split(' ').any(|known| known == country))
        .map(|(continent, _)| *continent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_is_on_one_continent() {
        let mut all: Vec<_> = CONTINENTS.iter().flat_map(|(_, countries)| countries.split(' ')).collect();
        // ISO 3166-1 has 249 codes; Kosovo's is user-assigned.
        assert_eq!(all.len(), 250);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 250);
        assert!(all.iter().all(|code| code.len() == 2));
    }

    #[test]
    fn disputed_ones_are_where_geonames_puts_them() {
        let found = ["TR", "RU", "CY", "EG", "TL", "XK", "GL", "MX"].map(of);
        assert_eq!(found, ["AS", "EU", "EU", "AF", "OC", "EU", "NA", "NA"].map(Some));
        assert_eq!(of("UK"), None);
        assert_eq!(of(""), None);
    }
}
