//! Whether the modules of a crate are in layers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A file of `src`, by its module path: `["calls", "io"]`.
pub type Module = Vec<String>;

/// The modules that a text uses, as paths from the crate's root.
fn uses(module: &Module, text: &str) -> BTreeSet<Module> {
    let code: String = text
        .lines()
        .flat_map(|line| ["\n", line.split("//").next().unwrap_or("")])
        .collect();
    let mut found = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::") {
        if !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            paths(&code[at + prefix.len()..], &[], &mut found);
        }
    }
    // In a file of a directory, a `super` that isn't in a module of the file's own.
    if module.len() > 1 {
        for (at, prefix) in code.match_indices("\nuse super::") {
            paths(&code[at + prefix.len()..], &module[..1], &mut found);
        }
        for (at, prefix) in code.match_indices("\npub use super::") {
            paths(&code[at + prefix.len()..], &module[..1], &mut found);
        }
    } else {
        assert!(!code.contains("\nuse super::"), "{module:?}");
    }
    for (at, prefix) in code.match_indices("\nuse self::") {
        paths(&code[at + prefix.len()..], &module[..1], &mut found);
    }
    assert!(!code.contains("super::super::"), "{module:?}");
    found
}

/// Reads the path or the paths in braces that a text begins with, two names of each.
fn paths(text: &str, before: &[String], found: &mut BTreeSet<Module>) {
    let text = text.trim_start();
    if let Some(inside) = text.strip_prefix('{') {
        let (mut depth, mut start) = (0, 0);
        for (at, c) in inside.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    paths(&inside[start..at], before, found);
                    start = at + 1;
                    if c == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let end = text
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    let mut path = before.to_vec();
    if end > 0 && text[..end] != *"self" {
        path.push(text[..end].to_owned());
    }
    match text[end..].strip_prefix("::") {
        Some(rest) if path.len() < 2 => paths(rest, &path, found),
        _ if path.is_empty() => {}
        _ => {
            found.insert(path);
        }
    }
}

/// What is wrong with these files, by the order of their layers.
pub fn wrong(order: &[impl AsRef<str>], files: &BTreeMap<Module, String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let place = |name: &str| order.iter().position(|layer| layer.as_ref() == name);
    let mut graph: BTreeMap<&Module, BTreeSet<&Module>> = BTreeMap::new();
    for (module, text) in files {
        let Some(own) = place(&module[0]) else {
            wrong.push(format!("{} isn't in the list", module[0]));
            continue;
        };
        for used in uses(module, text) {
            // `crate::name` of a directory may be its `mod.rs` or a function in that.
            let file = files
                .get_key_value(&used)
                .or_else(|| files.get_key_value(&used[..1]));
            let Some((file, _)) = file else {
                wrong.push(format!(
                    "{} uses {used:?}, which is no module",
                    module.join("::")
                ));
                continue;
            };
            if place(&used[0]).is_none_or(|used| used > own) {
                wrong.push(format!(
                    "{} uses {} above it",
                    module.join("::"),
                    used.join("::")
                ));
            }
            if file != module {
                graph.entry(module).or_default().insert(file);
            }
        }
    }
    for layer in order {
        let layer = layer.as_ref();
        if !files.keys().any(|module| module[0] == *layer) {
            wrong.push(format!("there is no {layer}"));
        }
    }
    // What uses nothing that is left is taken away until nothing, or only circles, are left.
    let mut left: BTreeSet<&Module> = files.keys().collect();
    loop {
        let (stays, goes): (BTreeSet<_>, BTreeSet<_>) = left.iter().copied().partition(|module| {
            let of = graph.get(module);
            of.is_some_and(|of| of.iter().any(|used| left.contains(used)))
        });
        left = stays;
        if goes.is_empty() {
            break;
        }
    }
    if !left.is_empty() {
        wrong.push(format!("a circle is in {left:?}"));
    }
    wrong
}

/// The layers that a section of docs/architecture.md lists, lowest first.
pub fn order(page: &str, section: &str) -> Vec<String> {
    let heading = format!("\n## {section}\n");
    let (_, list) = page.split_once(&heading).expect("the list of the layers");
    let list = list.split("\n## ").next().expect("a section");
    list.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect()
}

/// The files of a directory and of those in it. Tests' helpers are like any other file.
pub fn read(directory: &Path, above: &[String], files: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(directory).expect("src") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let mut module = above.to_vec();
        if path.is_dir() {
            module.push(name);
            read(&path, &module, files);
        } else {
            if name != "mod" {
                module.push(name);
            }
            files.insert(module, std::fs::read_to_string(&path).expect("a file"));
        }
    }
}
