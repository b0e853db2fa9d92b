//! Odd files of service tags: copies that are broken, and tags that are unusual.
//!
//! **Not here**: a usual file ([`super`]).

use super::*;

fn codes(text: &str) -> Vec<&'static str> {
    read(&network(NetworkKind::Azure), text.into()).unwrap_err().iter().map(|problem| problem.code).collect()
}

#[test]
fn a_page_in_place_of_the_file_is_refused() {
    // The download page is stored under the name of the file, with status 200.
    let page = "<!DOCTYPE html><html lang=\"en-us\"><title>Download Azure IP Ranges and Service Tags</title>";
    assert_eq!(codes(page), ["html-page"]);
    assert_eq!(codes(&format!("\u{feff}\r\n{page}")), ["html-page"]);
}

#[test]
fn a_file_without_regional_tags_is_refused() {
    assert_eq!(codes("\u{feff}"), ["empty-file"]);
    assert_eq!(codes("{ \"changeNumber\": 7, \"cloud\": \"Public\", \"values\": [] }"), ["no-prefixes"]);
    let of_services = r#"{ "values": [{ "name": "Storage", "properties": { "addressPrefixes": ["192.0.2.0/24"] } },
        { "name": "AzureCloudX", "properties": { "addressPrefixes": ["192.0.2.0/24"] } }] }"#;
    assert_eq!(codes(of_services), ["no-prefixes"]);
}

#[test]
fn a_file_that_is_cut_short_is_refused() {
    assert_eq!(codes(&AZURE[..AZURE.len() / 2]), ["truncated-file"]);
    // Even if only the last bracket is missing.
    assert_eq!(codes(AZURE.trim_end().strip_suffix('}').unwrap()), ["truncated-file"]);
}

#[test]
fn an_error_in_json_form_is_refused() {
    assert_eq!(codes("{ \"error\": { \"code\": \"BlobNotFound\" } }"), ["wrong-shape"]);
    assert_eq!(codes("[]"), ["wrong-shape"]);
}

#[test]
fn a_prefix_with_host_bits_refuses_the_file() {
    // A feed of a cloud is made by a program, so a bad prefix means damage: no entry is left out.
    let text = AZURE.replacen("192.0.2.64/26", "192.0.2.65/26", 1);
    assert_eq!(codes(&text), ["bad-prefix"]);
}

#[test]
fn tags_without_prefixes_and_with_unknown_fields_are_read() {
    let text = r#"{ "cloud": "Public", "future": [1, { "a": null }], "values": [
{ "id": "AzureCloud.emptyregion", "name": "AzureCloud.emptyregion", "properties": { "region": "emptyregion", "addressPrefixes": [] } },
{ "name": "AzureCloud.noprefixes", "properties": { "region": "noprefixes" } },
{ "name": "AzureCloud.usgovvirginia", "serviceTagChangeNumber": 1, "properties": { "regionId": 7, "platform": null,
  "addressPrefixes": ["192.0.2.0/24", "192.0.2.0/24", "2001:0DB8::/32"], "networkFeatures": ["API"] } },
{ "name": "AzureCloud.eastus2", "properties": { "addressPrefixes": ["192.0.2.128/25"] } } ] }"#;
    let loaded = read_as(NetworkKind::Azure, text);
    let expected = [
        "5: 192.0.2.0/24 azure usgovvirginia",
        "6: 192.0.2.128/25 azure eastus2",
        "5: 2001:db8::/32 azure usgovvirginia",
    ];
    assert_eq!(entries(&loaded), expected);
    assert_eq!(loaded.warnings, []);
}
