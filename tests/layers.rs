//! The layers of the design, enforced: a module uses only modules below it.
//!
//! The table is the one in `src/lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The highest layer that is pure.
const PURE: u8 = 5;

/// The crates and modules that a pure module must not use, as in a path.
const IMPURE: [&str; 12] = [
    "tokio",
    "hyper",
    "tracing",
    "socket2",
    "arc_swap",
    "libc",
    "std::fs",
    "std::io",
    "std::net::UdpSocket",
    "std::net::Tcp",
    "std::time",
    "std::thread",
];

#[derive(Clone, Copy, PartialEq)]
enum Siblings {
    /// No sibling uses another.
    Apart,
    /// Each may use those to its right.
    Ordered,
}

#[test]
fn a_module_uses_only_what_is_below_it() {
    let rank = ranks();
    let mut wrong = Vec::new();
    for (path, module, text) in sources() {
        let Some(&(layer, place, siblings)) = rank.get(module.as_str()) else {
            panic!("{}: module `{module}` has no layer; add it to the table in src/lib.rs", path.display());
        };
        for used in uses(&text) {
            let Some(&(other, other_place, _)) = rank.get(used.as_str()) else { continue };
            let below = other < layer;
            let right = siblings == Siblings::Ordered && other == layer && other_place < place;
            if used != module && !below && !right {
                wrong.push(format!("{}: `{module}` (layer {layer}) uses `{used}` (layer {other})", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Files of one folder use each other in one direction, so that each can be read after the files that it uses.
#[test]
fn no_files_of_one_folder_use_each_other_in_a_circle() {
    let files = sources().into_iter().map(|(path, _, text)| (path, text));
    let circles = circles(&SourceTree::of(files));
    assert!(circles.is_empty(), "move the shared item to a file below both: {circles:#?}");
}

/// A file is read in one sitting. The system calls are in one file whatever its length, because `unsafe` is allowed nowhere else.
#[test]
fn no_other_file_than_that_of_system_calls_is_long() {
    let lines = |(path, _, text): (PathBuf, String, String)| {
        Some((text.lines().count(), path)).filter(|(count, _)| *count > 400)
    };
    let long: Vec<_> = sources().into_iter().filter_map(lines).collect();
    let paths: Vec<_> = long.iter().map(|(_, path)| path.to_str().unwrap()).collect();
    assert!(
        matches!(paths[..], [path] if path.ends_with("process/sys.rs")),
        "move a part to a file of its own: {long:?}"
    );
}

/// The check itself must be able to fail: a name that the parent re-exports leads to the file that has it.
#[test]
fn a_circle_is_found_through_a_re_export() {
    let facade = ("a/mod.rs", "mod one;\nmod two;\npub(crate) use one::{One, Other as Else};\n");
    let circles_of = |one, two| {
        let files = [facade, ("a/one.rs", one), ("a/two.rs", two)];
        circles(&SourceTree::of(files.map(|(path, text)| (path.into(), text.to_string()))))
    };
    let both = "`one` uses `two`, which leads back".to_string();
    let back = "`two` uses `one`, which leads back".to_string();
    let expected = [("a".to_string(), both), ("a".to_string(), back)];
    assert_eq!(circles_of("use super::two::{self, Two};", "use crate::a::Else;"), expected);
    assert_eq!(circles_of("fn f() { super::two::g() }", "use super::{One};"), expected);
    assert!(circles_of("use super::two::Two;", "// super::One\nuse crate::b::One;").is_empty());
}

#[test]
fn the_core_is_pure() {
    let rank = ranks();
    let mut wrong = Vec::new();
    for (path, module, text) in sources() {
        if rank.get(module.as_str()).is_none_or(|(layer, ..)| *layer > PURE) {
            continue;
        }
        for impure in IMPURE {
            let crossing = |line: &str| line.match_indices(impure).any(|(at, _)| is_path(line, at, impure.len()));
            if code(&text).lines().any(crossing) {
                wrong.push(format!("{}: uses `{impure}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stands_in_one_file() {
    let with: Vec<_> = sources().into_iter().filter(|(_, _, text)| code(text).contains("unsafe ")).collect();
    let names: Vec<_> = with.iter().map(|(path, ..)| path.display().to_string()).collect();
    assert!(names.len() <= 1, "unsafe code in several files: {names:?}");
}

/// A thread that starts late may not start at all: tokio's pool panics then, and so does `std::thread::spawn`.
#[test]
fn threads_start_where_a_failure_is_handled() {
    const LATE: [&str; 7] = [
        "spawn_blocking",
        "block_in_place",
        "lookup_host",
        "ToSocketAddrs",
        "thread::spawn(",
        "scope.spawn(",
        "Runtime::new(",
    ];
    // Each of these starts its threads with the process, or returns an error if a thread does not start.
    const BUILDERS: [&str; 7] = [
        "cli/top/keys.rs",
        "dns/udp.rs",
        "files/reader.rs",
        "http/log/writer.rs",
        "live/signing.rs",
        "load/hosts/mod.rs",
        "process/work.rs",
    ];
    let mut wrong = Vec::new();
    for (path, _, text) in sources() {
        let name = path.display().to_string();
        let text = code(&text);
        let late = LATE.iter().filter(|late| text.contains(**late));
        wrong.extend(
            late.filter(|late| (name.as_str(), **late) != ("process/work.rs", "Runtime::new("))
                .map(|late| format!("{name}: {late}")),
        );
        if text.contains("thread::Builder") && !BUILDERS.contains(&&*name) {
            wrong.push(format!("{name}: thread::Builder"));
        }
    }
    assert!(wrong.is_empty(), "use process::work instead: {wrong:#?}");
}

/// A listener that another module made would have no limits.
#[test]
fn connections_are_accepted_in_one_module() {
    let accepts = ["TcpListener", "UnixListener", "Endpoint::new", "Endpoint::server", ".accept()"];
    // The control socket puts its file in place and hands the listener over.
    let allowed = |path: &Path, what: &str| {
        path.starts_with("listen") || path.ends_with("control/socket.rs") && what == "UnixListener"
    };
    let mut wrong = Vec::new();
    for (path, _, text) in sources() {
        for what in accepts {
            if code(&text).contains(what) && !allowed(&path, what) {
                wrong.push(format!("{}: `{what}`; see `listen`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, _, text)| !text.starts_with("//! "))
        .map(|(path, ..)| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "without a module doc: {silent:?}");
}

/// The check itself must be able to fail.
#[test]
fn uses_are_found_in_every_form() {
    let text = "use crate::zone::Zone;\nuse crate::{base::name, steer as s};\nfn f() { crate::wire::decode(x) }\n// crate::http\n";
    assert_eq!(uses(text), ["zone", "base", "steer", "wire"]);
    assert!(is_path("x = tokio::spawn", 4, 5) && !is_path("let tokionic = 1", 4, 5));
}

/// One name has one meaning: no two types of the crate have the same name, except a module's `Error` and a command's `Args`.
#[test]
fn a_type_has_its_name_alone() {
    let mut declared: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, _, text) in sources() {
        // A declaration inside a macro, such as `words!`, is indented.
        let mut is_in_macro = false;
        for line in text.lines() {
            if !line.is_empty() && !line.starts_with(' ') {
                is_in_macro = line.ends_with("! {");
            }
            let line = if is_in_macro { line.trim_start() } else { line };
            let line =
                line.strip_prefix("pub").map_or(line, |rest| rest.split_once(' ').map_or(line, |(_, rest)| rest));
            let mut words = line.split(' ');
            if words.next().is_some_and(|word| ["struct", "enum", "trait", "type", "union"].contains(&word)) {
                let name = words.next().unwrap_or_default().split(|c: char| !c.is_alphanumeric()).next();
                declared.entry(name.unwrap_or_default().to_string()).or_default().push(path.display().to_string());
            }
        }
    }
    assert!(declared.len() > 500, "the declarations were not found");
    declared.retain(|name, places| places.len() > 1 && !["Error", "Args"].contains(&&**name));
    assert!(declared.is_empty(), "{declared:#?}");
}

/// The page for contributors has the layers that are enforced.
#[test]
fn the_architecture_page_has_the_same_layers() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let page = fs::read_to_string(page).expect("a text");
    let mut shown = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(layer) = cells.get(1).and_then(|cell| cell.parse::<u8>().ok()) else { continue };
        shown.extend(cells[2].split(", ").map(|module| (module.trim_matches('`').to_string(), layer)));
    }
    let mut enforced: BTreeMap<_, _> = ranks().into_iter().map(|(module, (layer, ..))| (module, layer)).collect();
    enforced.retain(|module, _| !["main", "lib"].contains(&&**module));
    assert_eq!(shown, enforced);
}

/// The layer and place of each module, read from the table in `src/lib.rs`. In an ordered layer, the last module is at place 0.
fn ranks() -> BTreeMap<String, (u8, usize, Siblings)> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("a text");
    let mut ranks = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("//! ")) {
        let Some((number, rest)) = line.split_once(' ') else { continue };
        let Ok(layer) = number.parse::<u8>() else { continue };
        // The description of the layer comes after a gap.
        let modules = rest.trim_start().split("   ").next().unwrap_or_default();
        let siblings = if modules.contains('→') { Siblings::Ordered } else { Siblings::Apart };
        let modules = modules.split_whitespace().filter(|word| *word != "→").rev();
        ranks.extend(modules.enumerate().map(|(place, module)| (module.to_string(), (layer, place, siblings))));
    }
    assert!(ranks.len() > 20 && ranks.contains_key("base"), "the table in src/lib.rs was not found");
    // The root of the crate has all of them.
    ranks.insert("lib".to_string(), (u8::MAX, 0, Siblings::Apart));
    ranks
}

/// The modules of a crate by path.
struct SourceTree(BTreeMap<Vec<String>, SourceModule>);

/// One module.
struct SourceModule {
    /// The names that it imports, with the path of each as written.
    names: BTreeMap<String, Vec<String>>,
    /// The paths from `crate` and `super` in it, as written.
    paths: Vec<Vec<String>>,
}

impl SourceTree {
    fn of(files: impl IntoIterator<Item = (PathBuf, String)>) -> Self {
        let module = |(path, text): (PathBuf, String)| {
            let path = path.with_extension("");
            let words = path.iter().map(|word| word.to_string_lossy().into_owned());
            let path: Vec<String> = words.filter(|word| word != "mod" && word != "lib").collect();
            let text = code(&text);
            let all = |start: &str| {
                let places = text.match_indices(start).filter(|(at, _)| is_path(&text, *at, start.len()));
                places.map(|(at, _)| at).collect::<Vec<_>>()
            };
            let mut names = Vec::new();
            all("use").into_iter().for_each(|at| expand(&mut &text[at + 3..], &[], &mut names));
            let mut paths = Vec::new();
            let roots = all("crate").into_iter().chain(all("super"));
            // A `super` behind another belongs to that path.
            let starts = roots.filter(|at| !text[..*at].ends_with("::") && text[at + 5..].starts_with("::"));
            starts.for_each(|at| expand(&mut &text[at..], &[], &mut paths));
            let names = names.into_iter().map(|(path, name)| (name, path)).collect();
            (path, SourceModule { names, paths: paths.into_iter().map(|(path, _)| path).collect() })
        };
        SourceTree(files.into_iter().map(module).collect())
    }

    /// The path from the root of the crate; `None` for a path into another crate.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        let ups = path.iter().take_while(|word| *word == "super").count();
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([module, &path[1..]].concat()),
            "super" => Some([module.get(..module.len().checked_sub(ups)?)?, &path[ups..]].concat()),
            child => {
                let is_child = self.0.contains_key(&[module, &[child.to_string()]].concat());
                is_child.then(|| [module, path].concat())
            }
        }
    }

    /// The module that has the item of a path, through the re-exports on the way.
    fn home(&self, mut path: Vec<String>) -> Vec<String> {
        loop {
            let len = (0..=path.len()).rev().find(|len| self.0.contains_key(&path[..*len])).unwrap_or(0);
            let (module, rest) = path.split_at(len);
            let written = rest.first().and_then(|name| self.0.get(module)?.names.get(name));
            match written.and_then(|written| self.absolute(module, written)) {
                Some(target) => path = [&target, &rest[1..]].concat(),
                None => return module.to_vec(),
            }
        }
    }
}

/// For each folder, the uses of one file by another that are part of a circle, without those by the files of `except`.
fn circles(tree: &SourceTree) -> Vec<(String, String)> {
    let mut folders: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
    for (path, module) in &tree.0 {
        for used in &module.paths {
            let Some(used) = tree.absolute(path, used) else { continue };
            let used = tree.home(used);
            let common = path.iter().zip(&used).take_while(|(a, b)| a == b).count();
            if let (1.., Some(from), Some(to)) = (common, path.get(common), used.get(common)) {
                folders.entry(path[..common].join("::")).or_default().insert((from.clone(), to.clone()));
            }
        }
    }
    let mut found = Vec::new();
    for (folder, uses) in folders {
        for (from, to) in &uses {
            let mut reached = BTreeSet::from([to]);
            loop {
                let next: Vec<_> = uses.iter().filter(|(a, b)| reached.contains(a) && !reached.contains(b)).collect();
                if next.is_empty() {
                    break;
                }
                reached.extend(next.into_iter().map(|(_, b)| b));
            }
            if reached.contains(from) {
                found.push((folder.clone(), format!("`{from}` uses `{to}`, which leads back")));
            }
        }
    }
    found
}

/// Reads a path with its groups, as in `use`, from the start of a text: each path in it, and the name by which it is known.
fn expand(text: &mut &str, before: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let mut path = before.to_vec();
    loop {
        *text = text.trim_start();
        if let Some(group) = text.strip_prefix('{') {
            *text = group;
            loop {
                *text = text.trim_start_matches([' ', '\n', ',']);
                if text.is_empty() || text.starts_with('}') {
                    *text = text.get(1..).unwrap_or_default();
                    return;
                }
                expand(text, &path, found);
            }
        }
        let word = head(text);
        // Another character is skipped: `*`, or the `<` of a type.
        let len = if word.is_empty() { text.chars().next().map_or(0, char::len_utf8) } else { word.len() };
        *text = &text[len..];
        path.extend(Some(word).filter(|word| !["", "self"].contains(&word.as_str()) || path.is_empty()));
        match text.strip_prefix("::") {
            Some(rest) => *text = rest,
            None => break,
        }
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if let Some(alias) = text.strip_prefix(" as ") {
        name = head(alias);
        *text = &alias[name.len()..];
    }
    found.push((path, name));
}

/// Every source file with its top-level module and its text up to the tests at its end.
fn sources() -> Vec<(PathBuf, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 20, "the sources were not found");
    files
        .into_iter()
        .filter(|path| !path.ends_with("tests.rs"))
        .map(|path| {
            let inside = path.strip_prefix(&root).expect("below src").to_path_buf();
            let first = inside.iter().next().expect("a file has a name").to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a source file is text");
            let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default().to_string();
            (inside, first.trim_end_matches(".rs").to_string(), text)
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src can be listed") {
        let path = entry.expect("src can be listed").path();
        match path.is_dir() {
            true => collect(&path, files),
            false if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
            false => {}
        }
    }
}

/// The text without comment lines.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The top-level modules of this crate that a text names.
fn uses(text: &str) -> Vec<String> {
    let code = code(text);
    let mut found = Vec::new();
    for (at, root) in code.match_indices("crate::").chain(code.match_indices("pharos::")) {
        if at > 0 && code.as_bytes()[at - 1].is_ascii_alphanumeric() {
            continue;
        }
        let rest = &code[at + root.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group)),
            None => found.push(head(rest)),
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// The first segments of the paths in `{a::b, c::{d, e}}`, given what follows the brace.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut start) = (0, Vec::new(), 0);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.push(head(group[start..at].trim_start()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(head(group[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
    }
    heads
}

fn head(path: &str) -> String {
    path.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

/// Returns whether the text at `at` is the start of a path, not a part of another word.
fn is_path(line: &str, at: usize, len: usize) -> bool {
    let inside = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let bytes = line.as_bytes();
    !inside(at.checked_sub(1).and_then(|before| bytes.get(before))) && !inside(bytes.get(at + len))
}
