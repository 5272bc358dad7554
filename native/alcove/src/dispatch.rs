//! From the number of a call to the function that makes it.

use crate::calls;
use crate::io;
use crate::process::Process;
use crate::reply::{Fail, Reply, Term};
use alcove_proto::calls::by_number;
use alcove_proto::wire::arg::{self, Arg};
use alcove_proto::wire::{Malformed, Reader};
use alcove_proto::{for_each_call, where_there};
use nix::errno::Errno;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With a value.
    Well,
    /// With `{error, Reason}`.
    Badly,
}

macro_rules! functions {
    ($($number:literal $module:ident::$name:ident($($arg:ident: $kind:ident),*)
       $man:literal $platforms:ident $summary:literal;)*) => {
        fn make(
            process: &mut Process,
            number: u16,
            mut reader: Reader<'_>,
            out: &mut Vec<u8>,
        ) -> Result<Ended, Malformed> {
            match number {
                $($number => where_there!($platforms {
                    $(let Ok($arg) = <arg::$kind as Arg>::read(&mut reader) else {
                        return Ok(fail(Errno::EINVAL, out));
                    };)*
                    if reader.end().is_err() {
                        return Ok(fail(Errno::EINVAL, out));
                    }
                    Ok(answer(&calls::$module::$name(process, $($arg),*), out))
                } else {
                    Ok(fail(Fail::Unsupported, out))
                }),)*
                _ => Err(Malformed),
            }
        }
    };
}

for_each_call!(functions);

/// Makes a call and appends its one term. An error if there is no such call.
pub fn call(
    process: &mut Process,
    number: u16,
    arguments: &[u8],
    out: &mut Vec<u8>,
) -> Result<Ended, Malformed> {
    // The stderr of any other process is the stream of its program.
    if process.options.verbose > 0 && process.depth == 0 {
        trace(number);
    }
    if process.denied.has(number) {
        return Ok(fail(Fail::Filtered, out));
    }
    make(process, number, Reader::new(arguments), out)
}

fn answer(reply: &impl Reply, out: &mut Vec<u8>) -> Ended {
    reply.put_reply(out);
    if reply.is_error() {
        Ended::Badly
    } else {
        Ended::Well
    }
}

/// The call isn't made: its arguments don't match the table, or it isn't there, or is refused.
fn fail(why: impl Into<Fail>, out: &mut Vec<u8>) -> Ended {
    why.into().put(out);
    Ended::Badly
}

/// Writes to root's stderr, the console's, which call is made. It leaves out the arguments, since
/// they may be secrets.
fn trace(number: u16) {
    let name = by_number(number).map_or("?", |call| call.name);
    let line = format!("alcove[{}]: {name}\n", std::process::id());
    let _ = io::write_all(libc::STDERR_FILENO, line.as_bytes());
}

/// The first bytes of the term `{error, Reason}`, before the reason.
pub const ERROR: [u8; 5] = {
    let [low, high] = (alcove_proto::wire::Atom::Error as u16).to_le_bytes();
    [
        alcove_proto::wire::tag::TUPLE,
        2,
        alcove_proto::wire::tag::ATOM,
        low,
        high,
    ]
};
