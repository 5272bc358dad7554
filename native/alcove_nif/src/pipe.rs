//! Pipes between programs, as Erlang code makes and closes them.

use alcove_core::pipe::PipeEnd;
use nix::errno::Errno;
use rustler::{Atom, Encoder, Env, NifResult, Term};

use crate::{call, load, registry, terms};

/// Makes a pipe for two programs of a Drv: `{ok, {ReadEnd, WriteEnd}}`.
pub fn make<'a>(env: Env<'a>, drv: Term<'a>) -> Term<'a> {
    let Some(tree) = registry::find(drv) else {
        return terms::badpid().encode(env);
    };
    if !call::has_room_for(&tree, 2) {
        return terms::error_tuple(env, Errno::EMFILE as i32);
    }
    match PipeEnd::pair() {
        Ok(ends) => {
            let [read, write] = ends.map(|end| load::hold_end(env, end));
            (terms::ok(), (read, write)).encode(env)
        }
        Err(errno) => terms::error_tuple(env, errno as i32),
    }
}

/// Closes an end.
pub fn close(end: Term<'_>) -> NifResult<Atom> {
    let end = load::end(end).ok_or(rustler::Error::BadArg)?;
    end.close();
    Ok(terms::ok())
}
