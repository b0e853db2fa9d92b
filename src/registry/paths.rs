//! Further paths: requests outside the API that rules of the configuration redirect, such as those of a download host.
//!
//! **Invariants**: no byte of a request can change the host of a `Location`, leave the directory of a rule, nor end the
//! line, because only a few harmless bytes are taken and no dot segment is; the rule with the longest prefix decides, in
//! whatever order the rules are written.
//! **Not here**: the API and the pages, which come first, so that no rule can shadow them ([`super::path`]).
//!
//! RFC 3986 §3.3 (paths), §5.2.4 (dot segments).

use std::sync::Arc;

use crate::mirror::{TemplateValues, UrlTemplate};

/// A rule: the paths with a prefix, and their target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathRule {
    /// The beginning of the paths, with a slash at both ends.
    prefix: Box<str>,
    /// The target, whose placeholders are `{path}` and `{rest}`.
    to: UrlTemplate,
    /// The name of the horizon whose mirrors come before the target; `None` if all clients get the target. A name and not an
    /// id, as in [`super::RegistrySettings::horizon`].
    pub(super) horizon: Option<Arc<str>>,
}

impl PathRule {
    /// A rule for a prefix that [`is_prefix`] accepts, with a target that needs no blob.
    pub(crate) fn new(prefix: &str, to: UrlTemplate, horizon: Option<Arc<str>>) -> Self {
        PathRule { prefix: prefix.into(), to, horizon }
    }

    /// The values for the placeholders of a path below the prefix.
    pub(super) fn values<'p>(&self, path: &'p str) -> TemplateValues<'p> {
        TemplateValues { blob: None, path: &path[1..], rest: &path[self.prefix.len()..] }
    }

    /// The URL of a path below the prefix. The query string is added unless the target has one of its own.
    pub(super) fn url(&self, path: &str, query: Option<&str>) -> String {
        let mut url = self.to.fill(&self.values(path)).expect("a target needs no blob: config::value");
        if let Some(query) = query.filter(|_| !url.contains('?')) {
            url.extend(["?", query]);
        }
        url
    }
}

/// The rules of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathRules {
    /// The longest prefix first.
    rules: Box<[PathRule]>,
}

impl PathRules {
    /// The rules; prefixes are distinct.
    pub(crate) fn new(mut rules: Vec<PathRule>) -> Self {
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.prefix.len()));
        PathRules { rules: rules.into() }
    }

    /// Returns whether a rule has a horizon.
    pub(crate) fn has_horizon(&self) -> bool {
        self.rules.iter().any(|rule| rule.horizon.is_some())
    }

    /// The rule for a path outside the API, in its [`super::plain`] form. `None` if no prefix matches, or if the path has a
    /// byte or a segment that no rule takes.
    pub(super) fn find(&self, path: &str) -> Option<&PathRule> {
        self.rules.iter().find(|rule| path.starts_with(&*rule.prefix)).filter(|_| is_path(path))
    }
}

/// Returns whether a rule may have this prefix. Pages, health checks and the API keep their paths.
pub(crate) fn is_prefix(text: &str) -> bool {
    text.ends_with('/') && is_path(text) && text != "/" && !is_reserved(text)
}

/// Returns whether a prefix is at paths that no rule can have.
pub(crate) fn is_reserved(prefix: &str) -> bool {
    prefix == "/" || prefix.starts_with("/privacy") || prefix.starts_with("/v2/") || prefix.starts_with("/healthz/")
}

/// Returns whether a path can be a part of a URL as it is, and stays below its directory.
///
/// A path has been decoded once. A `%` that is left is refused, because a server behind could decode it again.
fn is_path(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+,=:".contains(&byte);
    let Some(segments) = path.strip_prefix('/') else { return false };
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain);
    segments.is_empty() || segments.strip_suffix('/').unwrap_or(segments).split('/').all(is_segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::Template;

    fn rule(prefix: &str, path: &str) -> PathRule {
        assert!(is_prefix(prefix));
        let host = "files.example";
        let path = Template::parse(path).unwrap();
        PathRule::new(prefix, UrlTemplate { host: host.into(), port: 443, authority: host.into(), path }, None)
    }

    #[test]
    fn the_longest_prefix_decides_in_any_order() {
        let mut rules =
            vec![rule("/a/", "/one/{rest}"), rule("/a/b/c/", "/three/{rest}"), rule("/a/b/", "/two/{rest}")];
        for _ in 0..3 {
            rules.rotate_left(1);
            let rules = PathRules::new(rules.clone());
            let url = |path: &str| rules.find(path).map(|rule| rule.url(path, None));
            let at = |rest: &str| Some(format!("https://files.example/{rest}"));
            assert_eq!(url("/a/x"), at("one/x"));
            assert_eq!(url("/a/b/x"), at("two/x"));
            assert_eq!(url("/a/b/c/x/y"), at("three/x/y"));
            assert_eq!(url("/a/b/c/"), at("three/"));
            assert_eq!(url("/a/b/cx"), at("two/cx"));
            assert_eq!([url("/a"), url("/ab/x"), url("/b/a/x"), url("/"), url("a/x"), url("")], [const { None }; 6]);
        }
    }

    #[test]
    fn a_path_that_leaves_its_directory_has_no_rule() {
        let rules = PathRules::new(vec![rule("/a/", "/one/{rest}"), rule("/a/b/", "/two/{rest}")]);
        for path in [
            "/a/..",
            "/a/../x",
            "/a/.",
            "/a/./x",
            "/a/x/..",
            "/a/b/../../x",
            "/a//x",
            "/a/%2e%2e/x",
            "/a/x%",
            "/a/\\x",
            "/a/x@y",
            "/a/x?y",
            "/a/x#y",
            "/a/x y",
            "/a/x\r\ny",
            "/a/x\0",
            "/a/\u{e9}",
            "/a/x;y",
            "/a/<x>",
            "/a/\"",
        ] {
            assert_eq!(rules.find(path), None, "{path:?}");
        }
        for path in ["/a/v1.2.3-rc.1+build/x_y~z", "/a/sha256:ab,c=d", "/a/..x", "/a/x..", "/a/...", "/a/x/"] {
            assert!(rules.find(path).is_some(), "{path}");
        }
    }

    #[test]
    fn a_query_is_kept_unless_the_target_has_its_own() {
        let url = |to: &str, query| rule("/a/", to).url("/a/x/y", query);
        assert_eq!(url("/{rest}", Some("b=c")), "https://files.example/x/y?b=c");
        assert_eq!(url("/{path}", Some("")), "https://files.example/a/x/y?");
        assert_eq!(url("/{path}?alt=media", Some("b=c")), "https://files.example/a/x/y?alt=media");
        assert_eq!(url("/{path}?alt=media", None), "https://files.example/a/x/y?alt=media");
    }

    #[test]
    fn no_rule_can_have_the_paths_of_the_api_and_of_pages() {
        for prefix in
            ["/", "/v2/", "/v2/a/", "/healthz/", "/privacy/", "/privacy-x/", "", "a/", "/a", "//", "/a//", "/../"]
        {
            assert!(!is_prefix(prefix), "{prefix}");
        }
        for prefix in ["/a/", "/v2a/", "/v1/", "/healthzz/", "/a/v2/"] {
            assert!(is_prefix(prefix), "{prefix}");
        }
    }
}
