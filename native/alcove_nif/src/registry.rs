//! Drv pids and the trees they stand for.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use parking_lot::RwLock;
use rustler::Term;
use rustler::sys::ErlNifTerm;

use crate::load;
use crate::vm::Tree;

/// The key is the word of the pid: a local pid is an immediate term, the same in every environment.
static TREES: LazyLock<RwLock<HashMap<ErlNifTerm, Arc<Tree>>>> = LazyLock::new(RwLock::default);

/// The tree of a Drv.
pub fn find(drv: Term<'_>) -> Option<Arc<Tree>> {
    TREES.read().get(&drv.as_c_arg()).cloned()
}

/// Adds the tree of a Drv.
pub fn insert(drv: ErlNifTerm, tree: Arc<Tree>) {
    TREES.write().insert(drv, tree);
    load::drv_started();
}

/// Forgets the tree of a Drv.
pub fn remove(drv: ErlNifTerm) {
    if TREES.write().remove(&drv).is_some() {
        load::drv_ended();
    }
}
