//! The prose of a page of Markdown: headlines, paragraphs and table cells, without code and quotations.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::patterns::Text;

/// The texts of a page, in order.
pub(crate) fn texts(page: &str) -> Vec<Text> {
    let (mut texts, mut text) = (Vec::new(), Text::default());
    let (mut exempt, mut is_quoted) = (0, false);
    for (event, range) in Parser::new_ext(page, Options::ENABLE_TABLES).into_offset_iter() {
        let line = page[..range.start].matches('\n').count() + 1;
        match event {
            Event::Start(Tag::CodeBlock(_) | Tag::BlockQuote(_)) => exempt += 1,
            Event::End(TagEnd::CodeBlock | TagEnd::BlockQuote(_)) => exempt -= 1,
            Event::Text(prose) if exempt == 0 => text.add(&prose, line, &mut is_quoted),
            Event::Code(_) => text.words.push((line, None)),
            Event::End(TagEnd::Heading(_)) => {
                text.is_headline = true;
                (is_quoted, text) = (false, take(&mut texts, text));
            }
            Event::Start(Tag::Item | Tag::List(_))
            | Event::End(TagEnd::Paragraph | TagEnd::TableCell | TagEnd::Item) => {
                (is_quoted, text) = (false, take(&mut texts, text));
            }
            _ => {}
        }
    }
    texts
}

/// Ends a text; an empty one begins.
fn take(texts: &mut Vec<Text>, text: Text) -> Text {
    if !text.words.is_empty() {
        texts.push(text);
    }
    Text::default()
}
