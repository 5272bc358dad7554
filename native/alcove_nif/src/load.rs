//! How the VM loads the library, and the one resource type.
//!
//! `rustler::init!` has no upgrade callback, without which a module whose NIFs
//! are in use can't be loaded again; so the entry is made here.

use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use rustler::codegen_runtime::{ErlNifEntry, ErlNifEnv, ErlNifTerm, internal_write_symbols};
use rustler::sys::{
    ErlNifMonitor, ErlNifPid, ErlNifResourceFlags, ErlNifResourceType, ErlNifResourceTypeInit,
    enif_alloc_resource, enif_get_resource, enif_init_resource_type, enif_make_resource,
    enif_monitor_process, enif_release_resource,
};
use rustler::{Env, LocalPid, Term};

use crate::ticket::Ticket;
use crate::tree::{Command, Tree};

/// The entry point of the library.
#[unsafe(no_mangle)]
pub extern "C" fn nif_init() -> *const ErlNifEntry {
    // SAFETY: the VM calls this before anything else in the library.
    unsafe { internal_write_symbols() };
    let functions: Vec<_> = rustler::codegen_runtime::inventory::iter::<rustler::Nif>()
        .map(rustler::Nif::get_def)
        .collect();
    let mut entry = ErlNifEntry::new(c"alcove_nif", functions.leak(), load);
    entry.upgrade = Some(upgrade);
    // The VM keeps the pointer for as long as the module is loaded.
    Box::leak(Box::new(entry))
}

unsafe extern "C" fn load(
    env: *mut ErlNifEnv,
    _private: *mut *mut c_void,
    _info: ErlNifTerm,
) -> c_int {
    // SAFETY: the VM lends the environment for the time of this call.
    c_int::from(!unsafe { ready(env, ErlNifResourceFlags::ERL_NIF_RT_CREATE) })
}

unsafe extern "C" fn upgrade(
    env: *mut ErlNifEnv,
    _private: *mut *mut c_void,
    _old: *mut *mut c_void,
    _info: ErlNifTerm,
) -> c_int {
    // SAFETY: as for load.
    c_int::from(!unsafe { ready(env, ErlNifResourceFlags::ERL_NIF_RT_TAKEOVER) })
}

/// # Safety
/// `env` is that of a load or upgrade callback.
unsafe fn ready(env: *mut ErlNifEnv, flags: ErlNifResourceFlags) -> bool {
    let init = ErlNifResourceTypeInit {
        dtor: destroy as *const _,
        stop: std::ptr::null(),
        down: down as *const _,
        members: 3,
        dyncall: std::ptr::null(),
    };
    let lifetime = ();
    // SAFETY: the environment is valid for this call, which `lifetime` stands for;
    // the name and the initialiser are copied; the callbacks stay mapped, as the
    // library is never unloaded.
    unsafe {
        let mut tried = flags;
        let kind = enif_init_resource_type(
            env,
            c"alcove".as_ptr(),
            &raw const init,
            flags,
            &raw mut tried,
        );
        if kind.is_null() {
            return false;
        }
        KIND.store(kind.cast_mut(), Ordering::Release);
        crate::terms::load(Env::new_init_env(&lifetime, env))
    }
}

static KIND: AtomicPtr<ErlNifResourceType> = AtomicPtr::new(std::ptr::null_mut());

/// What an object of the resource type holds.
enum Held {
    /// A tree that ends with a process. No Erlang term refers to it, and it goes when the
    /// process does.
    Tree(Arc<Tree>),
    /// A ticket, for as long as a term refers to it.
    Ticket(Arc<Ticket>),
}

/// Makes an object. Whoever gets it has a reference to it.
fn hold(held: Held) -> *mut c_void {
    let kind = KIND.load(Ordering::Acquire);
    // SAFETY: the type was made at load. The object is as large as asked for and aligned
    // for a pointer; it is initialised before anybody knows of it.
    unsafe {
        let object = enif_alloc_resource(kind, size_of::<Held>());
        object.cast::<Held>().write(held);
        object
    }
}

/// Ends a tree when a process ends. False when the process doesn't live.
pub fn watch(env: Env<'_>, tree: &Arc<Tree>, pid: LocalPid) -> bool {
    let object = hold(Held::Tree(Arc::clone(tree)));
    // SAFETY: the object is one of the library's, with a reference that is released by
    // `down`, or here when there is no monitor.
    unsafe {
        let mut monitor: ErlNifMonitor = std::mem::zeroed();
        let watched =
            enif_monitor_process(env.as_c_arg(), object, pid.as_c_arg(), &raw mut monitor) == 0;
        if !watched {
            enif_release_resource(object);
        }
        watched
    }
}

/// A ticket as a term: a reference.
pub fn hold_ticket<'a>(env: Env<'a>, ticket: Arc<Ticket>) -> Term<'a> {
    let object = hold(Held::Ticket(ticket));
    // SAFETY: the object is one of the library's; the term has a reference of its own.
    unsafe {
        let term = enif_make_resource(env.as_c_arg(), object);
        enif_release_resource(object);
        Term::new(env, term)
    }
}

/// The ticket that a term is.
pub fn ticket(term: Term<'_>) -> Option<Arc<Ticket>> {
    let kind = KIND.load(Ordering::Acquire);
    let mut object = std::ptr::null();
    // SAFETY: the object of a term of this type holds what `hold` wrote, and lives for as
    // long as the term, which the environment keeps during this call.
    unsafe {
        let env = term.get_env().as_c_arg();
        if enif_get_resource(env, term.as_c_arg(), kind, &raw mut object) == 0 {
            return None;
        }
        match &*object.cast::<Held>() {
            Held::Ticket(ticket) => Some(Arc::clone(ticket)),
            Held::Tree(_) => None,
        }
    }
}

unsafe extern "C" fn down(
    _env: *mut ErlNifEnv,
    object: *mut c_void,
    _pid: *const ErlNifPid,
    _monitor: *const ErlNifMonitor,
) {
    // SAFETY: the object holds what `hold` wrote; `destroy` has not run, as the reference
    // that is released here is counted.
    unsafe {
        if let Held::Tree(tree) = &*object.cast::<Held>() {
            tree.command(Command::Stop);
            enif_release_resource(object);
        }
    }
}

unsafe extern "C" fn destroy(_env: *mut ErlNifEnv, object: *mut c_void) {
    // SAFETY: the VM destroys an object once; it holds what `hold` wrote.
    unsafe { object.cast::<Held>().drop_in_place() };
}
