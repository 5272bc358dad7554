//! How the VM loads the library, and the one resource type.
//!
//! `rustler::init!` has no upgrade callback, without which a module whose NIFs
//! are in use can't be loaded again; so the entry is made here.
//!
//! A library keeps what it knows about its Drvs in its own memory. So another library, such as
//! another build or a copy of the file in another place, can only replace it if it has no Drvs.
//! Otherwise the new one refuses to be loaded, and the old one goes on.

use std::ffi::{CStr, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use rustler::codegen_runtime::{ErlNifEntry, ErlNifEnv, ErlNifTerm, internal_write_symbols};
use rustler::sys::{
    ErlNifMonitor, ErlNifPid, ErlNifResourceFlags, ErlNifResourceType, ErlNifResourceTypeInit,
    enif_alloc_resource, enif_get_resource, enif_init_resource_type, enif_make_resource,
    enif_monitor_process, enif_release_resource,
};
use rustler::{Env, LocalPid, Term};

use crate::vm::{Command, Ticket, Tree};
use alcove_core::pipe::PipeEnd;
use alcove_core::process::claim::Claim;

/// The entry point of the library.
#[unsafe(no_mangle)]
pub extern "C" fn nif_init() -> *const ErlNifEntry {
    // SAFETY: the VM calls this before anything else in the library.
    unsafe { internal_write_symbols() };
    let functions: Vec<_> = rustler::codegen_runtime::inventory::iter::<rustler::Nif>()
        .map(rustler::Nif::get_def)
        .collect();
    let functions = crate::dirty::keep_twins(functions);
    let mut entry = ErlNifEntry::new(c"alcove_nif", functions.leak(), load);
    entry.upgrade = Some(upgrade);
    // The VM keeps the pointer for as long as the module is loaded.
    Box::leak(Box::new(entry))
}

/// What every build tells later builds about itself. Its layout never changes.
#[repr(C)]
struct Presence {
    magic: [u8; 8],
    /// How many Drvs it has.
    drvs: AtomicU64,
}

const MAGIC: [u8; 8] = *b"alcove-1";

static PRESENCE: Presence = Presence {
    magic: MAGIC,
    drvs: AtomicU64::new(0),
};

/// The name of the resource type, which differs for each build: a build must not take the objects
/// of another one.
const KIND_NAME: &str = concat!(
    "alcove ",
    env!("CARGO_PKG_VERSION"),
    " ",
    env!("ALCOVE_BUILD"),
    "\0"
);

/// A Drv is there.
pub fn drv_started() {
    PRESENCE.drvs.fetch_add(1, Ordering::SeqCst);
}

/// A Drv is gone.
pub fn drv_ended() {
    PRESENCE.drvs.fetch_sub(1, Ordering::SeqCst);
}

/// How many there are.
pub fn drvs() -> u64 {
    PRESENCE.drvs.load(Ordering::SeqCst)
}

unsafe extern "C" fn load(
    env: *mut ErlNifEnv,
    private: *mut *mut c_void,
    _info: ErlNifTerm,
) -> c_int {
    // SAFETY: the VM lends the environment and the place for the time of this call.
    c_int::from(!unsafe { ready(env, private) })
}

unsafe extern "C" fn upgrade(
    env: *mut ErlNifEnv,
    private: *mut *mut c_void,
    old: *mut *mut c_void,
    _info: ErlNifTerm,
) -> c_int {
    // SAFETY: the previous library set the private data when it was loaded.
    let old = unsafe { *old }.cast_const().cast::<Presence>();
    let is_this = old == &raw const PRESENCE;
    // SAFETY: every build with private data has a `Presence` there, and stays mapped.
    let is_free = unsafe { old.as_ref() }.is_some_and(|presence| {
        presence.magic == MAGIC && presence.drvs.load(Ordering::SeqCst) == 0
    });
    // SAFETY: as for load.
    c_int::from(!((is_this || is_free) && unsafe { ready(env, private) }))
}

/// # Safety
/// `env` and `private` are those of a load or upgrade callback.
unsafe fn ready(env: *mut ErlNifEnv, private: *mut *mut c_void) -> bool {
    let init = ErlNifResourceTypeInit {
        dtor: destroy as *const _,
        stop: std::ptr::null(),
        down: down as *const _,
        members: 3,
        dyncall: std::ptr::null(),
    };
    let lifetime = ();
    let Ok(name) = CStr::from_bytes_with_nul(KIND_NAME.as_bytes()) else {
        return false;
    };
    // A type of the same name is of the same build. A library that was purged left it behind.
    let (create, take) = (
        ErlNifResourceFlags::ERL_NIF_RT_CREATE,
        ErlNifResourceFlags::ERL_NIF_RT_TAKEOVER,
    );
    // SAFETY: the environment and the place are valid for this call, which `lifetime` stands
    // for; the name and the initialiser are copied; the callbacks stay mapped, as the
    // library is never unloaded.
    unsafe {
        let mut tried = create;
        let mut kind =
            enif_init_resource_type(env, name.as_ptr(), &raw const init, create, &raw mut tried);
        if kind.is_null() {
            kind =
                enif_init_resource_type(env, name.as_ptr(), &raw const init, take, &raw mut tried);
        }
        if kind.is_null() {
            return false;
        }
        *private = (&raw const PRESENCE).cast_mut().cast();
        KIND.store(kind.cast_mut(), Ordering::Release);
        crate::terms::load(Env::new_init_env(&lifetime, env))
    }
}

static KIND: AtomicPtr<ErlNifResourceType> = AtomicPtr::new(std::ptr::null_mut());

/// What an object of the resource type holds.
enum Held {
    /// A tree that ends with an Erlang process. No term refers to it, and it is released when the
    /// process ends.
    Tree(Arc<Tree>),
    /// A ticket, for as long as a term refers to it.
    Ticket(Arc<Ticket>),
    /// A claim to a program of a tree, which is given up when a process ends. No Erlang term refers
    /// to it.
    Claim(Arc<Claim>, Arc<Tree>),
    /// An end of a pipe, for as long as a term refers to it.
    End(Arc<PipeEnd>),
}

/// Makes an object. The caller gets a counted reference to it.
fn hold(held: Held) -> *mut c_void {
    let kind = KIND.load(Ordering::Acquire);
    // SAFETY: the type was made at load. The object is as large as asked for and aligned
    // for a pointer; it is initialised before any other code has it.
    unsafe {
        let object = enif_alloc_resource(kind, size_of::<Held>());
        object.cast::<Held>().write(held);
        object
    }
}

/// Ends a tree when a process ends. False when the process doesn't live.
pub fn watch(env: Env<'_>, tree: &Arc<Tree>, pid: LocalPid) -> bool {
    watch_for(env, Held::Tree(Arc::clone(tree)), pid)
}

/// Gives a claim up when the calling process ends. False when it doesn't live.
pub fn watch_claim(env: Env<'_>, tree: &Arc<Tree>, claim: &Arc<Claim>) -> bool {
    let held = Held::Claim(Arc::clone(claim), Arc::clone(tree));
    watch_for(env, held, env.pid())
}

fn watch_for(env: Env<'_>, held: Held, pid: LocalPid) -> bool {
    let object = hold(held);
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
    term(env, Held::Ticket(ticket))
}

/// An end of a pipe as a term: a reference.
pub fn hold_end(env: Env<'_>, end: PipeEnd) -> Term<'_> {
    term(env, Held::End(Arc::new(end)))
}

fn term(env: Env<'_>, held: Held) -> Term<'_> {
    let object = hold(held);
    // SAFETY: the object is one of the library's; the term has a reference of its own.
    unsafe {
        let term = enif_make_resource(env.as_c_arg(), object);
        enif_release_resource(object);
        Term::new(env, term)
    }
}

/// The ticket that a term is.
pub fn ticket(term: Term<'_>) -> Option<Arc<Ticket>> {
    held(term, |held| match held {
        Held::Ticket(ticket) => Some(Arc::clone(ticket)),
        _ => None,
    })
}

/// The end of a pipe that a term is.
pub fn end(term: Term<'_>) -> Option<Arc<PipeEnd>> {
    held(term, |held| match held {
        Held::End(end) => Some(Arc::clone(end)),
        _ => None,
    })
}

fn held<T>(term: Term<'_>, get: impl FnOnce(&Held) -> Option<T>) -> Option<T> {
    let kind = KIND.load(Ordering::Acquire);
    let mut object = std::ptr::null();
    // SAFETY: the object of a term of this type holds what `hold` wrote, and lives for as
    // long as the term, which the environment keeps during this call.
    unsafe {
        let env = term.get_env().as_c_arg();
        if enif_get_resource(env, term.as_c_arg(), kind, &raw mut object) == 0 {
            return None;
        }
        get(&*object.cast::<Held>())
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
        match &*object.cast::<Held>() {
            Held::Tree(tree) => tree.command(Command::Stop),
            Held::Claim(claim, _) if claim.is_done() => {}
            Held::Claim(claim, tree) => tree.command(Command::Abandon(Arc::clone(claim))),
            Held::Ticket(_) | Held::End(_) => return,
        }
        enif_release_resource(object);
    }
}

unsafe extern "C" fn destroy(_env: *mut ErlNifEnv, object: *mut c_void) {
    // SAFETY: the VM destroys an object once; it holds what `hold` wrote.
    unsafe { object.cast::<Held>().drop_in_place() };
}
