//! From the number of a call to the function that makes it.

use crate::event_loop;
use crate::process::Process;
use crate::reply::{Fail, Reply, Term};
use crate::sys;
use alcove_proto::calls;
use alcove_proto::for_each_call;
use alcove_proto::wire::arg::{self, Arg};
use alcove_proto::wire::{Malformed, Reader};
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
                $($number => {
                    $(let Ok($arg) = <arg::$kind as Arg>::read(&mut reader) else {
                        return Ok(invalid(out));
                    };)*
                    if reader.end().is_err() {
                        return Ok(invalid(out));
                    }
                    Ok(answer(&sys::$module::$name(process, $($arg),*), out))
                })*
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
    if process.options.verbose > 0 {
        trace(number);
    }
    if process.denied.has(number) {
        Fail::Filtered.put(out);
        return Ok(Ended::Badly);
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

/// Arguments that aren't what the table says.
fn invalid(out: &mut Vec<u8>) -> Ended {
    Fail::Errno(Errno::EINVAL).put(out);
    Ended::Badly
}

/// Says on stderr which call is made. Arguments may be secrets and aren't said.
fn trace(number: u16) {
    let name = calls::by_number(number).map_or("?", |call| call.name);
    let line = format!("alcove[{}]: {name}\n", std::process::id());
    let _ = event_loop::write(libc::STDERR_FILENO, line.as_bytes());
}
