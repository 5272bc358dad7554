//! The modules of the NIF's core are in layers: none uses one above it.

#[path = "../../alcove/tests/common/layers.rs"]
mod layers;

use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn no_module_uses_one_above_it() {
    let crate_ = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(crate_.join("../../docs/architecture.md")).expect("a page");
    let order = layers::order(&page, "The core of the NIF");
    let mut files = BTreeMap::new();
    layers::read(&crate_.join("src"), &[], &mut files);
    files.remove(&["lib".to_owned()][..]);
    assert_eq!(layers::wrong(&order, &files), Vec::<String>::new());
}
