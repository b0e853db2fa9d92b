//! Directives: `$ORIGIN`, `$TTL`, `$INCLUDE` and `$GENERATE`.
//!
//! **Invariants**: an included file cannot change the context of the file that includes it; the records that `$GENERATE` makes
//! are read as those that are written.
//! **Not here**: ranges and templates of `$GENERATE` ([`crate::load::zone::generate`]).
//!
//! RFC 1035 §5.1, RFC 2308 §4.

use std::path::Path;

use super::{EntryRefusal, LineContext, ZoneLine, ZoneReader, read_head, read_ttl, resolve};
use crate::base::diagnostic::Diagnostic;
use crate::load::zone::generate::{self, GenerateRange, MAX_GENERATED};
use crate::load::zone::sources::ZoneSource;
use crate::load::zone::split::{Splitter, ZoneEntry, ZoneToken};
use crate::load::zone::{MAX_FILE_LEN, MAX_GENERATED_IN_ZONE, MAX_INCLUDE_DEPTH, MAX_INCLUDES, reason};

impl ZoneReader<'_> {
    pub(super) fn read_directive(&mut self, line: ZoneLine<'_>, context: &mut LineContext) -> Result<(), EntryRefusal> {
        let tokens = &line.entry.tokens[..];
        let word = line.octets(&tokens[0]).to_ascii_uppercase();
        match (&word[..], tokens) {
            (b"$ORIGIN", [_, origin]) => {
                context.origin = resolve(line, origin, context.origin.as_name())?;
                Ok(())
            }
            (b"$TTL", [_, token]) => {
                let (ttl, is_overlong) = read_ttl(line, token)?;
                context.default_ttl = Some(ttl);
                if is_overlong {
                    self.report(reason::ttl_is_zero(line, token));
                }
                Ok(())
            }
            (b"$INCLUDE", [_, file]) => self.read_include(line, file, context.clone()),
            (b"$INCLUDE", [_, file, origin]) => {
                let origin = resolve(line, origin, context.origin.as_name())?;
                self.read_include(line, file, LineContext { origin, ..context.clone() })
            }
            (b"$GENERATE", _) => self.read_generate(line, context),
            (b"$ORIGIN" | b"$TTL" | b"$INCLUDE", _) => Err(reason::directive_form(line)),
            _ => Err(reason::unknown_directive(line)),
        }
    }

    /// Reads each record that a `$GENERATE` makes as if it were written there; after an error no more are made.
    fn read_generate(&mut self, line: ZoneLine<'_>, context: &LineContext) -> Result<(), EntryRefusal> {
        let [directive, range, owner, fields @ ..] = &line.entry.tokens[..] else {
            return Err(reason::directive_form(line));
        };
        let head = read_head(line, fields)?;
        let (before, data) = match fields.split_at(head.data) {
            (before, [data]) => (before, data),
            (_, [_, second, ..]) => return Err(reason::several_words(line, second)),
            _ => return Err(reason::directive_form(line)),
        };
        let numbers = GenerateRange::parse(line.octets(range)).ok_or_else(|| reason::bad_range(line, range))?;
        let most = MAX_GENERATED.min(MAX_GENERATED_IN_ZONE - self.generated);
        if numbers.count() > most {
            return Err(reason::too_many_generated(line, range, numbers.count(), most));
        }
        self.generated += numbers.count();
        let template = if data.is_quoted { generate::unquote(line.content(data)) } else { line.octets(data).to_vec() };
        let place = line.source.place(directive.range.start..data.range.end);
        let mut source = ZoneSource::made_at(place, line.source.tag(line.entry.line));
        let (mut context, mut entry) = (context.clone(), ZoneEntry::new());
        let told = self.diagnostics.len();
        for number in numbers.numbers() {
            source.text.clear();
            let filled = |template: &[u8], token, text: &mut Vec<u8>| {
                generate::fill(template, number, text).ok_or_else(|| reason::bad_template(line, token))
            };
            filled(line.octets(owner), owner, &mut source.text)?;
            for token in before {
                source.text.push(b' ');
                source.text.extend_from_slice(line.octets(token));
            }
            source.text.push(b' ');
            filled(&template, data, &mut source.text)?;
            match Splitter::new(&source.text).read(&mut entry) {
                Some(Ok(())) => self.read_record(ZoneLine { source: &source, entry: &entry }, &mut context)?,
                Some(Err(error)) => return Err(Box::new(reason::unsplittable(&source, error))),
                None => {}
            }
            // A warning about one record concerns all of them.
            self.forget_repeated(told);
            if self.is_over() {
                break;
            }
        }
        Ok(())
    }

    /// Drops the last diagnostics for as long as an earlier one, from index `from` on, has the same code.
    fn forget_repeated(&mut self, from: usize) {
        while let Some((last, others)) = self.diagnostics.get(from..).and_then(<[Diagnostic]>::split_last)
            && others.iter().any(|other| other.code == last.code)
        {
            self.diagnostics.pop();
            self.warnings -= 1;
        }
    }

    fn read_include(
        &mut self,
        line: ZoneLine<'_>,
        token: &ZoneToken,
        context: LineContext,
    ) -> Result<(), EntryRefusal> {
        let written = String::from_utf8_lossy(line.content(token));
        let folder = self.open.last().and_then(|path| path.parent()).unwrap_or(Path::new(""));
        let path = folder.join(&*written);
        if self.open.contains(&path) {
            return Err(reason::include_loop(line, token, &path));
        }
        if self.open.len() > MAX_INCLUDE_DEPTH {
            return Err(reason::include_too_deep(line));
        }
        self.includes += 1;
        if self.includes > MAX_INCLUDES {
            return Err(reason::too_many_includes(line));
        }
        let text = (self.read_file)(&path).map_err(|error| reason::include_failed(line, token, &path, &error))?;
        if self.octets + text.len() > MAX_FILE_LEN {
            return Err(reason::files_too_large(line, token));
        }
        self.read_source(&path, path.display().to_string().into(), text, context);
        Ok(())
    }
}
