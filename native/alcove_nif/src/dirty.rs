//! Work that takes too long for a scheduler moves to a dirty scheduler, without Erlang code in
//! between.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_int};
use std::sync::OnceLock;

use rustler::codegen_runtime::{ErlNifEnv, ErlNifFunc, ErlNifTerm, NifReturnable, NifReturned};
use rustler::schedule::SchedulerFlags;
use rustler::{Env, Term};

use crate::args::Heavy;

/// A NIF, as the VM calls it.
type Function = unsafe extern "C" fn(*mut ErlNifEnv, c_int, *const ErlNifTerm) -> ErlNifTerm;

/// The dirty twins of NIFs, by their names.
static TWINS: OnceLock<HashMap<CString, Function>> = OnceLock::new();

/// The suffix of the names of twins; Erlang code can't call them.
const MARK: &[u8] = b"$dirty";

/// Stores the twins; returns the NIFs that Erlang code calls.
pub fn keep_twins(functions: Vec<ErlNifFunc>) -> Vec<ErlNifFunc> {
    // SAFETY: rustler's names are C strings without an end of life.
    let name = |function: &ErlNifFunc| unsafe { CStr::from_ptr(function.name) };
    let is_twin = |function: &ErlNifFunc| name(function).to_bytes().ends_with(MARK);
    let (twins, others) = functions.into_iter().partition(is_twin);
    let twins: Vec<ErlNifFunc> = twins;
    let twins = twins
        .iter()
        .map(|twin| (name(twin).to_owned(), twin.function));
    TWINS.get_or_init(|| twins.collect());
    others
}

/// The result of a NIF.
pub enum Outcome<'a> {
    /// Its value.
    Done(Term<'a>),
    /// Its twin of this name goes on, with the same arguments.
    Heavy(&'static CStr, Vec<Term<'a>>),
}

impl<'a> Outcome<'a> {
    /// The value, or the twin.
    pub fn or(done: Result<Term<'a>, Heavy>, twin: &'static CStr, args: &[Term<'a>]) -> Self {
        match done {
            Ok(term) => Outcome::Done(term),
            Err(Heavy) => Outcome::Heavy(twin, args.to_vec()),
        }
    }
}

/// The result of a NIF on a dirty scheduler, for which no work is too heavy.
impl<'a> From<Result<Term<'a>, Heavy>> for Outcome<'a> {
    fn from(done: Result<Term<'a>, Heavy>) -> Self {
        Outcome::or(done, c"", &[])
    }
}

// SAFETY: the terms are of the environment of the call that returns this.
unsafe impl NifReturnable for Outcome<'_> {
    unsafe fn into_returned(self, _env: Env<'_>) -> NifReturned {
        match self {
            Outcome::Done(term) => NifReturned::Term(term.as_c_arg()),
            Outcome::Heavy(name, args) => {
                let twin = TWINS.get().and_then(|twins| twins.get(name));
                twin.map_or(NifReturned::BadArg, |twin| NifReturned::Reschedule {
                    fun_name: name.to_owned(),
                    flags: SchedulerFlags::DirtyIo,
                    fun: *twin,
                    args: args.iter().map(Term::as_c_arg).collect(),
                })
            }
        }
    }
}
