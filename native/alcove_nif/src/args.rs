//! Erlang arguments as the bytes of a call, by the kinds in the table.

use alcove_proto::calls::{ArgKind, Call, leaves_loop};
use alcove_proto::constants::{self, Group};
use alcove_proto::frame::{self, MAX_DATA};
use alcove_proto::wire::Put;
use alcove_proto::wire::arg::{
    Handler, MAX_PTRS, MAX_ZEROED, Opt, field_tag, ptr_tag, sockaddr_tag, time_tag,
};
use rustler::types::tuple::get_tuple;
use rustler::{Atom, Binary, Encoder, Env, Term, TermType};

use crate::terms;

/// More than this many bytes of arguments are a dirty scheduler's work.
const LIGHT: usize = 64 * 1024;

/// More than this many list cells are a dirty scheduler's work.
const LIGHT_CELLS: usize = 4096;

/// No limit. Its type is not the same everywhere.
const RLIM_INFINITY: u64 = libc::RLIM_INFINITY as u64;

/// Why a call can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// An argument, from 1, has the wrong shape.
    Argument(usize),
    /// There is no such call with so many arguments.
    Undefined,
    /// The arguments are too large together.
    Length,
    /// It leaves the event loop, and others follow that would never be made.
    NotLast,
    /// They take too long to look at here.
    Heavy,
}

impl Refused {
    /// As `alcove_nif` documents it.
    pub fn encode<'a>(self, env: Env<'a>, index: Option<usize>) -> Term<'a> {
        let what = match self {
            Refused::Argument(n) => (n as u64).encode(env),
            Refused::Undefined => terms::undef().encode(env),
            Refused::Length => terms::length().encode(env),
            Refused::NotLast => terms::last().encode(env),
            Refused::Heavy => return terms::dirty().encode(env),
        };
        let what = index.map_or(what, |index| (index as u64, what).encode(env));
        (terms::badarg(), what).encode(env)
    }
}

/// Whether the caller is on a dirty scheduler, where time matters less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// A scheduler: refuse what takes long.
    Light,
    /// A dirty one.
    Heavy,
}

/// Appends a CALL frame; gives back the call's number.
pub fn call<'a>(
    out: &mut Vec<u8>,
    id: u32,
    name: Term<'a>,
    argv: Term<'a>,
    weight: Weight,
) -> Result<u16, Refused> {
    let row = terms::call(name).ok_or(Refused::Undefined)?;
    let at = frame::start(out, frame::to::CALL);
    out.put_u32(id);
    out.put_u16(row.number);
    arguments(out, row, argv, weight)?;
    if out.len() - at > frame::MAX_FRAME {
        return Err(Refused::Length);
    }
    frame::finish(out, at);
    Ok(row.number)
}

/// Appends the calls of a batch, `[{Call, Argv}]`; gives back their numbers. An
/// error comes with the index of the call, from 1, or 0 for the list itself.
pub fn batch<'a>(
    out: &mut Vec<u8>,
    list: Term<'a>,
    weight: Weight,
) -> Result<Box<[u16]>, (usize, Refused)> {
    let mut numbers = Vec::new();
    let at = out.len();
    out.put_u16(0);
    let mut rest = list;
    while let Ok((head, tail)) = rest.list_get_cell() {
        let index = numbers.len() + 1;
        if numbers.last().is_some_and(|call| leaves_loop(*call)) {
            return Err((index - 1, Refused::NotLast));
        }
        let pair = get_tuple(head).map_err(|_| (index, Refused::Argument(0)))?;
        let [name, argv] = pair[..] else {
            return Err((index, Refused::Argument(0)));
        };
        let row = terms::call(name).ok_or((index, Refused::Undefined))?;
        out.put_u16(row.number);
        let length = out.len();
        out.put_u32(0);
        arguments(out, row, argv, weight).map_err(|refused| (index, refused))?;
        if out.len() > frame::MAX_FRAME {
            return Err((index, Refused::Length));
        }
        let bytes = (out.len() - length - 4) as u32;
        out[length..length + 4].copy_from_slice(&bytes.to_le_bytes());
        numbers.push(row.number);
        rest = tail;
    }
    let count = u16::try_from(numbers.len()).map_err(|_| (0, Refused::Length))?;
    if !rest.is_empty_list() {
        return Err((0, Refused::Argument(0)));
    }
    out[at..at + 2].copy_from_slice(&count.to_le_bytes());
    Ok(numbers.into())
}

fn arguments<'a>(
    out: &mut Vec<u8>,
    row: &Call,
    argv: Term<'a>,
    weight: Weight,
) -> Result<(), Refused> {
    let mut rest = argv;
    for (index, (_, kind)) in row.args.iter().enumerate() {
        let (head, tail) = rest.list_get_cell().map_err(|_| Refused::Undefined)?;
        argument(out, *kind, head, weight).map_err(|wrong| match wrong {
            Wrong::Shape => Refused::Argument(index + 1),
            Wrong::Heavy => Refused::Heavy,
        })?;
        rest = tail;
    }
    if rest.is_empty_list() {
        Ok(())
    } else {
        Err(Refused::Undefined)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Shape,
    Heavy,
}

/// Appends one argument.
fn argument<'a>(
    out: &mut Vec<u8>,
    kind: ArgKind,
    term: Term<'a>,
    weight: Weight,
) -> Result<(), Wrong> {
    match kind {
        ArgKind::I32 | ArgKind::Fd | ArgKind::Pid => out.put_i32(integer(term)?),
        ArgKind::U32 => out.put_u32(integer(term)?),
        ArgKind::I64 => out.put_i64(integer(term)?),
        ArgKind::U64 => out.put_u64(integer(term)?),
        ArgKind::Mode => out.put_u32(below(term, 0o7777)?),
        ArgKind::Id => out.put_u32(below(term, u32::MAX - 1)?),
        ArgKind::IdOrKeep => match integer::<i64>(term)? {
            -1 => out.put_u32(u32::MAX),
            _ => out.put_u32(below(term, u32::MAX - 1)?),
        },
        ArgKind::Count => out.put_u32(below(term, MAX_DATA as u32)?),
        ArgKind::Str => out.put_cstr(&string(term, weight)?),
        ArgKind::Bytes => out.put_bytes(&bytes(term, weight)?),
        ArgKind::StrVec => {
            list(out, term, weight, |out, item| {
                string(item, weight).map(|string| out.put_cstr(&string))
            })?;
        }
        ArgKind::Fds => list(out, term, weight, |out, item| {
            integer(item).map(|fd| out.put_i32(fd))
        })?,
        ArgKind::Rlimit => {
            let [cur, max] = record(term, terms::alcove_rlimit())?;
            out.put_u64(limit(cur)?);
            out.put_u64(limit(max)?);
        }
        ArgKind::Timeval => timeval(out, term)?,
        ArgKind::Opt => out.put_u8(option(term)? as u8),
        ArgKind::Signal => out.put_i32(signal(term)?),
        ArgKind::Handler => {
            let name = atom(term)?;
            let handler = Handler::ALL.iter().find(|(known, _)| *known == name);
            out.put_u8(handler.ok_or(Wrong::Shape)?.1 as u8);
        }
        ArgKind::Calls => {
            let (allow, names) = match record::<1>(term, terms::allow()) {
                Ok([names]) => (1, names),
                Err(_) => match record::<1>(term, terms::deny()) {
                    Ok([names]) => (0, names),
                    Err(_) => (0, term),
                },
            };
            out.put_u8(allow);
            list(out, names, weight, |out, name| {
                let call = terms::call(name).ok_or(Wrong::Shape)?;
                out.put_u16(call.number);
                Ok(())
            })?;
        }
        ArgKind::Ptr => pointer(out, term, weight)?,
        ArgKind::CloneFlags
        | ArgKind::OpenFlags
        | ArgKind::MountFlags
        | ArgKind::Whence
        | ArgKind::Resource
        | ArgKind::PrctlOption
        | ArgKind::SyscallNumber
        | ArgKind::Flags => out.put_u64(flags(kind.group(), term).ok_or(Wrong::Shape)?),
        ArgKind::Const => out.put_i64(constant(term)?),
        ArgKind::DirFd => {
            out.put_i32(i32::try_from(constant(term)?).map_err(|_| Wrong::Shape)?);
        }
        ArgKind::Ids => list(out, term, weight, |out, item| {
            below(item, u32::MAX - 1).map(|id| out.put_u32(id))
        })?,
        ArgKind::Cpus => list(out, term, weight, |out, item| {
            below(item, u16::MAX.into()).map(|cpu| out.put_u32(cpu))
        })?,
        ArgKind::Caps => out.put_u64(capabilities(term)?),
        ArgKind::FileTime => file_time(out, term)?,
        ArgKind::Millis => out.put_i32(milliseconds(term)?),
        ArgKind::PollFds => list(out, term, weight, |out, item| {
            let [fd, events] = pair(item)?;
            out.put_i32(integer(fd)?);
            let events = flags(None, events).and_then(|events| u16::try_from(events).ok());
            out.put_u16(events.ok_or(Wrong::Shape)?);
            Ok(())
        })?,
        ArgKind::Sockaddr => socket_address(out, term, weight)?,
        ArgKind::Ptrs => {
            let mut count = 0;
            list(out, term, weight, |out, item| {
                count += 1;
                if count > MAX_PTRS {
                    return Err(Wrong::Shape);
                }
                pointer(out, item, weight)
            })?;
        }
    }
    Ok(())
}

fn integer<'a, T: rustler::Decoder<'a>>(term: Term<'a>) -> Result<T, Wrong> {
    term.decode().map_err(|_| Wrong::Shape)
}

fn below(term: Term<'_>, max: u32) -> Result<u32, Wrong> {
    integer(term).ok().filter(|n| *n <= max).ok_or(Wrong::Shape)
}

/// The name of an atom, in lower case: names of constants are taken in either.
fn atom(term: Term<'_>) -> Result<String, Wrong> {
    if !term.is_atom() {
        return Err(Wrong::Shape);
    }
    term.atom_to_string()
        .map(|name| name.to_ascii_lowercase())
        .map_err(|_| Wrong::Shape)
}

fn option(term: Term<'_>) -> Result<Opt, Wrong> {
    let name = atom(term)?;
    let known = Opt::ALL.iter().find(|(known, _)| *known == name);
    Ok(known.map_or(Opt::Unknown, |(_, option)| *option))
}

fn signal(term: Term<'_>) -> Result<i32, Wrong> {
    if term.is_atom() {
        let number = constants::lookup(Some(Group::Signal), &atom(term)?).ok_or(Wrong::Shape)?;
        return i32::try_from(number).map_err(|_| Wrong::Shape);
    }
    integer(term)
}

/// An integer, the name of a constant, or a list of names that are or'ed. Without a group
/// the names are those of any.
pub fn flags(group: Option<Group>, term: Term<'_>) -> Option<u64> {
    if term.is_atom() {
        return constants::lookup(group, &atom(term).ok()?).map(|value| value as u64);
    }
    if term.is_list() {
        let mut value = 0;
        let mut rest = term;
        while let Ok((head, tail)) = rest.list_get_cell() {
            value |= constants::lookup(group, &atom(head).ok()?)? as u64;
            rest = tail;
        }
        return rest.is_empty_list().then_some(value);
    }
    term.decode().ok()
}

/// A signed integer, or the name of a constant of any group.
fn constant(term: Term<'_>) -> Result<i64, Wrong> {
    if term.is_atom() {
        return constants::lookup(None, &atom(term)?).ok_or(Wrong::Shape);
    }
    integer(term)
}

/// A bit for each capability.
fn capabilities(term: Term<'_>) -> Result<u64, Wrong> {
    if !term.is_list() {
        return integer(term);
    }
    let mut set = 0;
    let mut rest = term;
    while let Ok((head, tail)) = rest.list_get_cell() {
        let name = atom(head)?;
        let number = constants::lookup(Some(Group::Prctl), &name)
            .filter(|number| name.starts_with("cap_") && (0..64).contains(number));
        set |= 1 << number.ok_or(Wrong::Shape)?;
        rest = tail;
    }
    if rest.is_empty_list() {
        Ok(set)
    } else {
        Err(Wrong::Shape)
    }
}

fn file_time(out: &mut Vec<u8>, term: Term<'_>) -> Result<(), Wrong> {
    if terms::now() == term {
        out.put_u8(time_tag::NOW);
    } else if terms::omit() == term {
        out.put_u8(time_tag::OMIT);
    } else {
        out.put_u8(time_tag::AT);
        out.put_i64(integer(term)?);
    }
    Ok(())
}

fn milliseconds(term: Term<'_>) -> Result<i32, Wrong> {
    if terms::infinity() == term {
        return Ok(-1);
    }
    integer(term)
        .ok()
        .filter(|ms| *ms >= -1)
        .ok_or(Wrong::Shape)
}

fn pair(term: Term<'_>) -> Result<[Term<'_>; 2], Wrong> {
    let fields = get_tuple(term).map_err(|_| Wrong::Shape)?;
    fields.try_into().map_err(|_| Wrong::Shape)
}

/// An address as gen_tcp and socket have it, or bytes.
fn socket_address<'a>(out: &mut Vec<u8>, term: Term<'a>, weight: Weight) -> Result<(), Wrong> {
    if term.is_binary() {
        out.put_u8(sockaddr_tag::RAW);
        out.put_bytes(&bytes(term, weight)?);
        return Ok(());
    }
    let [family, address] = pair(term)?;
    if terms::local() == family {
        out.put_u8(sockaddr_tag::LOCAL);
        out.put_bytes(&bytes(address, weight)?);
        return Ok(());
    }
    let [address, port] = pair(address)?;
    let parts = get_tuple(address).map_err(|_| Wrong::Shape)?;
    if terms::inet() == family && parts.len() == 4 {
        out.put_u8(sockaddr_tag::INET);
        for part in parts {
            out.put_u8(below(part, u8::MAX.into())? as u8);
        }
    } else if terms::inet6() == family && parts.len() == 8 {
        out.put_u8(sockaddr_tag::INET6);
        for part in parts {
            let part = below(part, u16::MAX.into())? as u16;
            out.raw(&part.to_be_bytes());
        }
    } else {
        return Err(Wrong::Shape);
    }
    out.put_u16(below(port, u16::MAX.into())? as u16);
    Ok(())
}

/// A limit; `infinity` and -1 are none.
fn limit(term: Term<'_>) -> Result<u64, Wrong> {
    if terms::infinity() == term {
        return Ok(RLIM_INFINITY);
    }
    match term.decode::<i64>() {
        Ok(-1) => Ok(RLIM_INFINITY),
        _ => integer(term),
    }
}

fn record<'a, const N: usize>(term: Term<'a>, name: Atom) -> Result<[Term<'a>; N], Wrong> {
    let fields = get_tuple(term).map_err(|_| Wrong::Shape)?;
    match fields.split_first() {
        Some((head, rest)) if name == *head => rest.try_into().map_err(|_| Wrong::Shape),
        _ => Err(Wrong::Shape),
    }
}

fn timeval(out: &mut Vec<u8>, term: Term<'_>) -> Result<(), Wrong> {
    let (given, sec, usec) = match term.decode::<Binary<'_>>() {
        Ok(none) if none.is_empty() => (0, 0, 0),
        Ok(_) => return Err(Wrong::Shape),
        Err(_) => {
            let [sec, usec] = record(term, terms::alcove_timeval())?;
            (1, integer(sec)?, integer(usec)?)
        }
    };
    out.put_u8(given);
    out.put_i64(sec);
    out.put_i64(usec);
    Ok(())
}

/// A list of anything; the count goes first.
fn list<'a>(
    out: &mut Vec<u8>,
    term: Term<'a>,
    weight: Weight,
    mut each: impl FnMut(&mut Vec<u8>, Term<'a>) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    let at = out.len();
    out.put_u32(0);
    let mut count: u32 = 0;
    let mut rest = term;
    while let Ok((head, tail)) = rest.list_get_cell() {
        if weight == Weight::Light && (count as usize > LIGHT_CELLS || out.len() - at > LIGHT) {
            return Err(Wrong::Heavy);
        }
        if out.len() > frame::MAX_FRAME {
            return Err(Wrong::Shape);
        }
        each(out, head)?;
        count += 1;
        rest = tail;
    }
    if !rest.is_empty_list() {
        return Err(Wrong::Shape);
    }
    out[at..at + 4].copy_from_slice(&count.to_le_bytes());
    Ok(())
}

fn string<'a>(term: Term<'a>, weight: Weight) -> Result<Binary<'a>, Wrong> {
    let string = bytes(term, weight)?;
    if string.contains(&0) {
        Err(Wrong::Shape)
    } else {
        Ok(string)
    }
}

/// iodata, capped.
fn bytes<'a>(term: Term<'a>, weight: Weight) -> Result<Binary<'a>, Wrong> {
    let bytes = iodata(term, weight)?.ok_or(Wrong::Heavy)?;
    if bytes.len() > MAX_DATA {
        Err(Wrong::Shape)
    } else if bytes.len() > LIGHT && weight == Weight::Light {
        Err(Wrong::Heavy)
    } else {
        Ok(bytes)
    }
}

/// iodata of any size, or `None` when a list takes too long to look at here.
fn iodata<'a>(term: Term<'a>, weight: Weight) -> Result<Option<Binary<'a>>, Wrong> {
    if term.is_binary() {
        return term.decode().map(Some).map_err(|_| Wrong::Shape);
    }
    if weight == Weight::Light && !is_light(term) {
        return Ok(None);
    }
    Binary::from_iolist(term)
        .map(Some)
        .map_err(|_| Wrong::Shape)
}

/// As [`iodata`], for the stream functions: `Err` is a wrong shape.
pub fn data<'a>(term: Term<'a>, weight: Weight) -> Result<Binary<'a>, Refused> {
    match iodata(term, weight) {
        Ok(Some(data)) => Ok(data),
        Ok(None) => Err(Refused::Heavy),
        Err(_) => Err(Refused::Argument(1)),
    }
}

/// Whether an iolist has few cells and bytes.
fn is_light(term: Term<'_>) -> bool {
    let (mut cells, mut size) = (0, 0);
    let mut stack = vec![term];
    while let Some(mut rest) = stack.pop() {
        while let Ok((head, tail)) = rest.list_get_cell() {
            cells += 1;
            match head.get_type() {
                TermType::List => stack.push(head),
                TermType::Binary => {
                    size += head.decode::<Binary<'_>>().map_or(0, |binary| binary.len());
                }
                _ => {}
            }
            if cells > LIGHT_CELLS || size > LIGHT {
                return false;
            }
            rest = tail;
        }
        size += rest.decode::<Binary<'_>>().map_or(0, |binary| binary.len());
    }
    size <= LIGHT
}

/// An integer, names of constants, iodata, or a structure. A name of prctl(2)'s goes before
/// that of another group.
fn pointer<'a>(out: &mut Vec<u8>, term: Term<'a>, weight: Weight) -> Result<(), Wrong> {
    if term.is_atom() || is_names(term) {
        let value = flags(Some(Group::Prctl), term).or_else(|| flags(None, term));
        out.put_u8(ptr_tag::INT);
        out.put_u64(value.ok_or(Wrong::Shape)?);
    } else if term.is_integer() {
        out.put_u8(ptr_tag::INT);
        let value = match term.decode::<i64>() {
            Ok(value) => value as u64,
            Err(_) => integer(term)?,
        };
        out.put_u64(value);
    } else if term.is_list() && has_pointers(term) {
        out.put_u8(ptr_tag::STRUCT);
        let mut zeroed = 0;
        list(out, term, weight, |out, item| {
            let Ok([what]) = record(item, terms::ptr()) else {
                out.put_u8(field_tag::BYTES);
                return bytes(item, weight).map(|bytes| out.put_bytes(&bytes));
            };
            if what.is_integer() {
                out.put_u8(field_tag::ZEROED);
                let size = below(what, MAX_ZEROED as u32)?;
                zeroed += size as usize;
                if zeroed > MAX_DATA {
                    return Err(Wrong::Shape);
                }
                out.put_u32(size);
            } else {
                out.put_u8(field_tag::POINTER);
                out.put_bytes(&bytes(what, weight)?);
            }
            Ok(())
        })?;
    } else {
        let bytes = bytes(term, weight)?;
        out.put_u8(ptr_tag::BYTES);
        out.put_bytes(&bytes);
    }
    Ok(())
}

/// Whether a list is one of names.
fn is_names(term: Term<'_>) -> bool {
    term.list_get_cell().is_ok_and(|(head, _)| head.is_atom())
}

/// Whether a list is a structure rather than iodata.
fn has_pointers(term: Term<'_>) -> bool {
    let mut rest = term;
    while let Ok((head, tail)) = rest.list_get_cell() {
        if head.is_tuple() {
            return true;
        }
        rest = tail;
    }
    false
}

/// A fork path. `None` when it is none.
pub fn path(term: Term<'_>) -> Option<Vec<u32>> {
    let mut pids = Vec::with_capacity(16);
    let mut rest = term;
    while let Ok((head, tail)) = rest.list_get_cell() {
        pids.push(head.decode().ok()?);
        rest = tail;
    }
    rest.is_empty_list().then_some(pids)
}
