//! A page of the documentation: its fences, links, headings and tables, as a CommonMark parser reads them.
//!
//! **Invariants**: a fence is claimed by the test that runs or loads it, or its info string gives a reason why no test
//! does (`no-test="…"`); [`Page::unused`] names every other fence.
//! **Not here**: running fences ([`super::shell`], [`super::migrate`]).

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A page that was read.
#[derive(Debug)]
pub(crate) struct Page {
    /// The path in the repository.
    pub(crate) path: PathBuf,
    pub(crate) fences: Vec<Fence>,
    pub(crate) links: Vec<Link>,
    /// The anchors of its headings.
    pub(crate) anchors: Vec<String>,
    pub(crate) tables: Vec<Table>,
}

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Fence {
    pub(crate) line: usize,
    pub(crate) info: Info,
    pub(crate) text: String,
    claimed: Cell<bool>,
}

/// The info string behind the three backticks: a language, and attributes with or without a value.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Info {
    pub(crate) language: String,
    attributes: Vec<(String, String)>,
}

/// A link, and its line.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) target: String,
}

/// A table below the heading `under`.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) under: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    /// The texts in backticks, by row and column.
    pub(crate) codes: Vec<Vec<Vec<String>>>,
}

/// The folder of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Page {
    /// Reads a page by its path in the repository.
    pub(crate) fn open(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Page::parse(path, &text)
    }

    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let (fences, links) = (Vec::new(), Vec::new());
        let mut page = Page { path: path.into(), fences, links, anchors: Vec::new(), tables: Vec::new() };
        let mut reader = Reader::default();
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = text[..range.start].matches('\n').count() + 1;
            reader.take(&mut page, event, line);
        }
        page
    }

    /// Claims the one fence that has this attribute, with any value.
    pub(crate) fn claim(&self, attribute: &str) -> &Fence {
        let found = self.claim_all(attribute);
        assert!(found.len() == 1, "{}: several fences have `{attribute}`", self.path.display());
        found[0]
    }

    /// Claims every fence that has this attribute.
    pub(crate) fn claim_all(&self, attribute: &str) -> Vec<&Fence> {
        let found: Vec<&Fence> = self.fences.iter().filter(|fence| fence.info.get(attribute).is_some()).collect();
        assert!(!found.is_empty(), "{}: no fence has `{attribute}`", self.path.display());
        found.iter().for_each(|fence| fence.claimed.set(true));
        found
    }

    /// Claims every fence with `file="…"`, and writes its text to that path below the folder, after `edit`.
    pub(crate) fn write_files(&self, folder: &Path, edit: impl Fn(&str, &str) -> String) {
        for fence in &self.fences {
            let Some(file) = fence.info.get("file") else { continue };
            fence.claimed.set(true);
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, edit(file, &fence.text)).unwrap();
        }
    }

    /// The only table below a heading.
    pub(crate) fn table(&self, under: &str) -> &Table {
        let mut found = self.tables.iter().filter(|table| table.under == under);
        let table = found.next().unwrap_or_else(|| panic!("{}: no table below `{under}`", self.path.display()));
        assert!(found.next().is_none(), "{}: several tables below `{under}`", self.path.display());
        table
    }

    /// The problems of fences: neither claimed nor with a reason, with an empty reason, or claimed and with a reason.
    pub(crate) fn unused(&self) -> Vec<String> {
        let problem = |fence: &Fence| match (fence.claimed.get(), fence.info.get("no-test")) {
            (_, Some("")) => Some("`no-test` needs a reason"),
            (false, None) => Some("no test runs or loads this fence"),
            (true, Some(_)) => Some("`no-test` on a fence that a test uses"),
            _ => None,
        };
        let place = |fence: &Fence| format!("{}:{}", self.path.display(), fence.line);
        self.fences.iter().filter_map(|fence| Some(format!("{}: {}", place(fence), problem(fence)?))).collect()
    }
}

impl Info {
    pub(crate) fn parse(text: &str) -> Self {
        let (language, mut rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut attributes = Vec::new();
        while !rest.trim_start().is_empty() {
            rest = rest.trim_start();
            let end = rest.find([' ', '=']).unwrap_or(rest.len());
            let (key, behind) = rest.split_at(end);
            let (value, behind) = match behind.strip_prefix("=\"") {
                Some(quoted) => quoted.split_once('"').unwrap_or_else(|| panic!("`{text}`: a quote does not end")),
                None => ("", behind),
            };
            assert!(!behind.starts_with('='), "`{text}`: a value stands in quotes");
            attributes.push((key.to_string(), value.to_string()));
            rest = behind;
        }
        Info { language: language.to_string(), attributes }
    }

    pub(crate) fn get(&self, attribute: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == attribute).map(|(_, value)| &**value)
    }
}

/// The anchor that GitHub gives a heading: lower case, punctuation dropped, spaces as hyphens.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

/// The text of the element that is being read.
#[derive(Debug, Default)]
struct Reader {
    text: String,
    heading: String,
    fence: Option<(usize, Info)>,
    row: Vec<String>,
    codes: Vec<String>,
    row_codes: Vec<Vec<String>>,
}

impl Reader {
    fn take(&mut self, page: &mut Page, event: Event<'_>, line: usize) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                self.text.clear();
                self.fence = Some((line, Info::parse(&info)));
            }
            Event::End(TagEnd::CodeBlock) => {
                if let Some((line, info)) = self.fence.take() {
                    let text = std::mem::take(&mut self.text);
                    page.fences.push(Fence { line, info, text, claimed: Cell::new(false) });
                }
            }
            Event::Start(Tag::Heading { .. } | Tag::TableCell) => {
                self.text.clear();
                self.codes.clear();
            }
            Event::End(TagEnd::Heading(_)) => {
                self.heading = std::mem::take(&mut self.text);
                // GitHub numbers anchors that would be the same.
                let anchor = anchor(&self.heading);
                let again = page.anchors.iter().filter(|other| **other == anchor).count();
                page.anchors.push(if again == 0 { anchor } else { format!("{anchor}-{again}") });
            }
            Event::Start(Tag::Table(_)) => {
                let (head, rows, codes) = (Vec::new(), Vec::new(), Vec::new());
                page.tables.push(Table { under: self.heading.clone(), head, rows, codes });
            }
            Event::End(TagEnd::TableCell) => {
                self.row.push(std::mem::take(&mut self.text));
                self.row_codes.push(std::mem::take(&mut self.codes));
            }
            Event::End(TagEnd::TableHead) => {
                self.row_codes.clear();
                page.tables.last_mut().unwrap().head = std::mem::take(&mut self.row);
            }
            Event::End(TagEnd::TableRow) => {
                let table = page.tables.last_mut().unwrap();
                table.rows.push(std::mem::take(&mut self.row));
                table.codes.push(std::mem::take(&mut self.row_codes));
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push(Link { line, target: dest_url.to_string() });
            }
            Event::Text(text) => self.text.push_str(&text),
            Event::Code(text) => {
                self.text.push_str(&text);
                self.codes.push(text.to_string());
            }
            Event::SoftBreak | Event::HardBreak => self.text.push(' '),
            _ => {}
        }
    }
}
