//! Pages that name a file: Microsoft publishes the service tags of Azure under another name every week.
//!
//! **Invariants**: pure; of several links to such files, the one with the latest date is taken.
//! **Not here**: fetching the page and the file ([`super::fetch`]).

/// True if a content is a page and no list.
pub(super) fn is_page(start: &[u8]) -> bool {
    start.trim_ascii_start().starts_with(b"<")
}

/// The link to a file of service tags on a page.
pub(super) fn service_tags(page: &str) -> Option<String> {
    // Links stand in quotes, in attributes and in scripts.
    let texts = page.split(['"', '\'', '<', '>', ' ', '\n']);
    let dated = texts.filter_map(|text| {
        let text = text.replace("\\u002F", "/").replace("\\/", "/").replace("&amp;", "&");
        let name = text.rsplit('/').next()?.split(['?', '#']).next()?;
        let (cloud, date) = name.strip_prefix("ServiceTags_")?.strip_suffix(".json")?.rsplit_once('_')?;
        let is_dated = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
        let is_cloud = !cloud.is_empty() && cloud.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_dated && is_cloud).then(|| (date.to_string(), text.clone()))
    });
    // The first of equal dates.
    dated.reduce(|best, one| if one.0 > best.0 { one } else { best }).map(|(_, link)| link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_file_on_the_page_is_taken() {
        let page = r#"<html><a href="https://download.example/a/ServiceTags_Public_20261117.json">old</a>
            <script>{"url":"https:\/\/download.example\/b\/ServiceTags_Public_20261124.json","size":1}</script>
            <a href='https://download.example/b/ServiceTags_Public_20261124.json'>again</a>
            <a href="https://download.example/ServiceTags_Public_2026112.json">short</a></html>"#;
        let expected = "https://download.example/b/ServiceTags_Public_20261124.json";
        assert_eq!(service_tags(page).as_deref(), Some(expected));
        assert_eq!(service_tags("<html>moved</html>"), None);
        assert!(is_page(b"\n  <!DOCTYPE html>") && !is_page(b"{\"values\": []}"));
    }
}
