//! The modules of the executable are in layers: none uses one above it.

#[path = "common/layers.rs"]
mod layers;

use std::collections::BTreeMap;
use std::path::Path;

use layers::{Module, order, read, wrong};

#[test]
fn no_module_uses_one_above_it() {
    let crate_ = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(crate_.join("../../docs/architecture.md")).expect("a page");
    let order = order(&page, "The layers of the executable");
    let mut files = BTreeMap::new();
    read(&crate_.join("src"), &[], &mut files);
    assert_eq!(wrong(&order, &files), Vec::<String>::new());
}

#[test]
fn raw_system_calls_are_made_in_sys() {
    let mut files = BTreeMap::new();
    read(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &[],
        &mut files,
    );
    let raw = |text: &str| {
        let code = text.split("\nmod tests {").next();
        code.is_some_and(|code| code.contains("libc::syscall("))
    };
    let (sys, others): (Vec<_>, Vec<_>) = files
        .iter()
        .filter(|(_, text)| raw(text))
        .map(|(module, _)| module.join("::"))
        .partition(|module| module.starts_with("sys::"));
    assert!(!sys.is_empty());
    assert_eq!(others, Vec::<String>::new());
}

#[test]
fn what_is_wrong_is_found() {
    let order = ["low", "middle", "high"];
    let with = |changed: &[(&str, &str)]| {
        let mut files = BTreeMap::new();
        for (name, text) in [
            ("low", "// crate::high"),
            ("low::a", "use super::b;\n"),
            ("low::b", ""),
            ("middle", "use crate::low::{a, b};"),
            ("high", "use crate::{\n    low::a, middle::{x, y},\n};"),
        ] {
            files.insert(
                name.split("::").map(str::to_owned).collect(),
                text.to_owned(),
            );
        }
        for (name, text) in changed {
            let module: Module = name.split("::").map(str::to_owned).collect();
            *files.entry(module).or_default() += &format!("\n{text}\n");
        }
        wrong(&order, &files)
    };
    assert_eq!(with(&[]), Vec::<String>::new());
    let upward = "middle uses high::x above it";
    for text in [
        "use crate::high::x;",
        "use crate::{low, high::x};",
        "use crate::{\n    low::{self, a},\n    high::x,\n};",
        "fn f() { crate::high::x() }",
        "mod tests { use crate::high::x; }",
    ] {
        assert!(
            with(&[("middle", text)]).contains(&upward.to_owned()),
            "{text}"
        );
    }
    assert!(!with(&[("low::b", "use super::a;")]).is_empty());
    assert!(!with(&[("low::b", "fn f() { crate::low::a::f() }")]).is_empty());
    assert!(!with(&[("new", "")]).is_empty());
    assert!(!with(&[("low", "use crate::new;")]).is_empty());
}
