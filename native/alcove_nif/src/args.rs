//! Erlang arguments as the bytes of a call, by the kinds in the table.

use std::cell::Cell;

use alcove_proto::calls::{ArgKind, Call, leaves_loop};
use alcove_proto::constants::{self, Group};
use alcove_proto::frame::{self, CallsWriter, Frame, MAX_DATA};
use alcove_proto::wire::Put;
use alcove_proto::wire::arg::{
    Handler, MAX_PTRS, MAX_ZEROED, Opt, RLIM_INFINITY, field_tag, ptr_tag, sockaddr_tag, time_tag,
};
use rustler::{Atom, Binary, Encoder, Env, Term, TermType};

use crate::{terms, tuple};

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
    pub fn encode<'a>(self, env: Env<'a>, index: Option<usize>) -> Result<Term<'a>, Heavy> {
        let what = match self {
            Refused::Argument(n) => (n as u64).encode(env),
            Refused::Undefined => terms::undef().encode(env),
            Refused::Length => terms::length().encode(env),
            Refused::NotLast => terms::last().encode(env),
            Refused::Heavy => return Err(Heavy),
        };
        let what = index.map_or(what, |index| (index as u64, what).encode(env));
        Ok((terms::badarg(), what).encode(env))
    }
}

/// How much work the arguments may make. To copy a byte is one unit.
#[derive(Debug)]
pub struct Budget(Option<Cell<usize>>);

/// The units that a scheduler may do: some tens of microseconds.
const LIGHT: usize = 64 * 1024;

/// A list cell, an element, an integer.
const CELL: usize = 16;

/// The name of a constant, which has to be looked up.
const NAME: usize = 64;

impl Budget {
    /// For a scheduler, on which work that takes long is refused.
    pub fn light() -> Self {
        Budget(Some(Cell::new(LIGHT)))
    }

    /// For a dirty scheduler, where time matters less.
    pub fn heavy() -> Self {
        Budget(None)
    }

    /// Whether the work is done on a scheduler, which must not wait.
    pub fn is_light(&self) -> bool {
        self.0.is_some()
    }

    /// Counts work that is about to be done.
    pub fn spend(&self, units: usize) -> Result<(), Heavy> {
        if let Some(left) = &self.0 {
            left.set(left.get().checked_sub(units).ok_or(Heavy)?);
        }
        Ok(())
    }
}

/// The work takes too long for a scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heavy;

impl From<Heavy> for Refused {
    fn from(_: Heavy) -> Self {
        Refused::Heavy
    }
}

impl From<Heavy> for Wrong {
    fn from(_: Heavy) -> Self {
        Wrong::Heavy
    }
}

/// Appends a CALL frame, without an id; returns the call's number.
pub fn call<'a>(
    out: &mut Vec<u8>,
    name: Term<'a>,
    argv: Term<'a>,
    budget: &Budget,
) -> Result<u16, Refused> {
    let row = terms::call(name).ok_or(Refused::Undefined)?;
    let (id, number, nothing) = (0, row.number, &[][..]);
    let at = frame::Call {
        id,
        number,
        arguments: nothing,
    }
    .begin(out);
    arguments(out, row, argv, budget)?;
    if out.len() - at > frame::MAX_FRAME {
        return Err(Refused::Length);
    }
    frame::finish(out, at);
    Ok(row.number)
}

/// Appends the calls of a batch, `[{Call, Argv}]`; returns their numbers. An
/// error has the index of the call, from 1, or 0 for the list itself.
pub fn batch<'a>(
    out: &mut Vec<u8>,
    list: Term<'a>,
    budget: &Budget,
) -> Result<Box<[u16]>, (usize, Refused)> {
    let mut numbers = Vec::new();
    let mut calls = CallsWriter::begin(out);
    let mut rest = list;
    while let Ok((head, tail)) = rest.list_get_cell() {
        let index = numbers.len() + 1;
        if numbers.last().is_some_and(|call| leaves_loop(*call)) {
            return Err((index - 1, Refused::NotLast));
        }
        let at = |refused| (index, refused);
        budget.spend(CELL).map_err(|heavy| at(heavy.into()))?;
        let [name, argv] = tuple::fields(head).ok_or(at(Refused::Argument(0)))?;
        let row = terms::call(name).ok_or(at(Refused::Undefined))?;
        calls
            .call(out, row.number, |out| arguments(out, row, argv, budget))
            .map_err(at)?;
        if out.len() > frame::MAX_FRAME {
            return Err(at(Refused::Length));
        }
        numbers.push(row.number);
        rest = tail;
    }
    if !rest.is_empty_list() {
        return Err((0, Refused::Argument(0)));
    }
    calls.finish(out).map_err(|_| (0, Refused::Length))?;
    Ok(numbers.into())
}

fn arguments<'a>(
    out: &mut Vec<u8>,
    row: &Call,
    argv: Term<'a>,
    budget: &Budget,
) -> Result<(), Refused> {
    let mut rest = argv;
    for (index, (_, kind)) in row.args.iter().enumerate() {
        budget.spend(CELL)?;
        let (head, tail) = rest.list_get_cell().map_err(|_| Refused::Undefined)?;
        argument(out, *kind, head, budget).map_err(|wrong| match wrong {
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

/// Why an argument is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It has the wrong shape.
    Shape,
    /// It takes too long to look at here.
    Heavy,
}

/// Appends one argument.
fn argument<'a>(
    out: &mut Vec<u8>,
    kind: ArgKind,
    term: Term<'a>,
    budget: &Budget,
) -> Result<(), Wrong> {
    match kind {
        ArgKind::I32 | ArgKind::Fd | ArgKind::Pid => out.put_i32(integer(term)?),
        ArgKind::U32 => out.put_u32(integer(term)?),
        ArgKind::I64 => out.put_i64(integer(term)?),
        ArgKind::U64 => out.put_u64(integer(term)?),
        // The mode that stat(2) returns includes the type of the file, which isn't passed on.
        ArgKind::Mode => out.put_u32(below(term, 0o177_777)? & 0o7777),
        ArgKind::Id => out.put_u32(below(term, u32::MAX - 1)?),
        ArgKind::IdOrKeep => match integer::<i64>(term)? {
            -1 => out.put_u32(u32::MAX),
            _ => out.put_u32(below(term, u32::MAX - 1)?),
        },
        ArgKind::Count => out.put_u32(below(term, MAX_DATA as u32)?),
        ArgKind::Str => out.put_cstr(&string(term, budget)?),
        ArgKind::Bytes => out.put_bytes(&bytes(term, budget)?),
        ArgKind::StrVec => {
            list(out, term, budget, |out, item| {
                string(item, budget).map(|string| out.put_cstr(&string))
            })?;
        }
        ArgKind::Fds => list(out, term, budget, |out, item| {
            integer(item).map(|fd| out.put_i32(fd))
        })?,
        ArgKind::Rlimit => {
            let [cur, max] = record(term, terms::alcove_rlimit())?;
            out.put_u64(limit(cur)?);
            out.put_u64(limit(max)?);
        }
        ArgKind::Timeval => timeval(out, term)?,
        ArgKind::Opt => out.put_u8(option(term, budget)? as u8),
        ArgKind::Signal => out.put_i32(signal(term, budget)?),
        ArgKind::Handler => {
            let name = atom(term, budget)?;
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
            list(out, names, budget, |out, name| {
                let call = terms::call(name).ok_or(Wrong::Shape)?;
                out.put_u16(call.number);
                Ok(())
            })?;
        }
        ArgKind::Ptr => pointer(out, term, budget)?,
        ArgKind::CloneFlags | ArgKind::OpenFlags | ArgKind::MountFlags | ArgKind::Flags => {
            out.put_u64(flags(kind.group(), term, budget)?);
        }
        ArgKind::Whence | ArgKind::Resource | ArgKind::PrctlOption | ArgKind::SyscallNumber => {
            out.put_u64(choice(kind.group(), term, budget)?)
        }
        ArgKind::Const => out.put_i64(constant(term, budget)?),
        ArgKind::DirFd => {
            out.put_i32(i32::try_from(constant(term, budget)?).map_err(|_| Wrong::Shape)?);
        }
        ArgKind::Ids => list(out, term, budget, |out, item| {
            below(item, u32::MAX - 1).map(|id| out.put_u32(id))
        })?,
        ArgKind::Cpus => list(out, term, budget, |out, item| {
            below(item, u16::MAX.into()).map(|cpu| out.put_u32(cpu))
        })?,
        ArgKind::Caps => out.put_u64(capabilities(term, budget)?),
        ArgKind::FileTime => file_time(out, term)?,
        ArgKind::Millis => out.put_i32(milliseconds(term)?),
        ArgKind::PollFds => list(out, term, budget, |out, item| {
            let [fd, events] = pair(item)?;
            out.put_i32(integer(fd)?);
            let events = flags(None, events, budget)?;
            out.put_u16(u16::try_from(events).map_err(|_| Wrong::Shape)?);
            Ok(())
        })?,
        ArgKind::Sockaddr => socket_address(out, term, budget)?,
        ArgKind::Ptrs => {
            let mut count = 0;
            list(out, term, budget, |out, item| {
                count += 1;
                if count > MAX_PTRS {
                    return Err(Wrong::Shape);
                }
                pointer(out, item, budget)
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
fn atom(term: Term<'_>, budget: &Budget) -> Result<String, Wrong> {
    budget.spend(NAME)?;
    if !term.is_atom() {
        return Err(Wrong::Shape);
    }
    let mut name = term.atom_to_string().map_err(|_| Wrong::Shape)?;
    name.make_ascii_lowercase();
    Ok(name)
}

fn option(term: Term<'_>, budget: &Budget) -> Result<Opt, Wrong> {
    let name = atom(term, budget)?;
    let known = Opt::ALL.iter().find(|(known, _)| *known == name);
    Ok(known.map_or(Opt::Unknown, |(_, option)| *option))
}

fn signal(term: Term<'_>, budget: &Budget) -> Result<i32, Wrong> {
    if term.is_atom() {
        let number =
            constants::lookup(Some(Group::Signal), &atom(term, budget)?).ok_or(Wrong::Shape)?;
        return i32::try_from(number).map_err(|_| Wrong::Shape);
    }
    integer(term)
}

/// An integer, the name of a constant, or a list of both that are or'ed. Without a group
/// the names are those of any.
pub fn flags(group: Option<Group>, term: Term<'_>, budget: &Budget) -> Result<u64, Wrong> {
    let flag = |name| {
        let value = constants::lookup(group, &atom(name, budget)?).ok_or(Wrong::Shape)?;
        Ok(value as u64)
    };
    if term.is_atom() {
        return flag(term);
    }
    if term.is_list() {
        let mut value = 0;
        let mut rest = term;
        while let Ok((head, tail)) = rest.list_get_cell() {
            value |= if head.is_atom() {
                flag(head)?
            } else {
                budget.spend(CELL)?;
                integer(head)?
            };
            rest = tail;
        }
        return if rest.is_empty_list() {
            Ok(value)
        } else {
            Err(Wrong::Shape)
        };
    }
    integer(term)
}

/// An integer, the name of a constant of a group, or a list of names.
fn choice(group: Option<Group>, term: Term<'_>, budget: &Budget) -> Result<u64, Wrong> {
    match term.list_get_cell() {
        Ok((head, _)) if !head.is_atom() => Err(Wrong::Shape),
        _ => flags(group, term, budget),
    }
}

/// A signed integer, or the name of a constant of any group.
fn constant(term: Term<'_>, budget: &Budget) -> Result<i64, Wrong> {
    if term.is_atom() {
        return constants::lookup(None, &atom(term, budget)?).ok_or(Wrong::Shape);
    }
    integer(term)
}

/// A bit for each capability.
fn capabilities(term: Term<'_>, budget: &Budget) -> Result<u64, Wrong> {
    if !term.is_list() {
        return integer(term);
    }
    let mut set = 0;
    let mut rest = term;
    while let Ok((head, tail)) = rest.list_get_cell() {
        let name = atom(head, budget)?;
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
    tuple::fields(term).ok_or(Wrong::Shape)
}

/// An address as gen_tcp and socket have it, or bytes.
fn socket_address<'a>(out: &mut Vec<u8>, term: Term<'a>, budget: &Budget) -> Result<(), Wrong> {
    if term.is_binary() {
        out.put_u8(sockaddr_tag::RAW);
        out.put_bytes(&bytes(term, budget)?);
        return Ok(());
    }
    let [family, address] = pair(term)?;
    if terms::local() == family {
        out.put_u8(sockaddr_tag::LOCAL);
        out.put_bytes(&bytes(address, budget)?);
        return Ok(());
    }
    let [address, port] = pair(address)?;
    if terms::inet() == family {
        out.put_u8(sockaddr_tag::INET);
        for part in tuple::fields::<4>(address).ok_or(Wrong::Shape)? {
            out.put_u8(below(part, u8::MAX.into())? as u8);
        }
    } else if terms::inet6() == family {
        out.put_u8(sockaddr_tag::INET6);
        for part in tuple::fields::<8>(address).ok_or(Wrong::Shape)? {
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
    tuple::record(term, name).ok_or(Wrong::Shape)
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
    budget: &Budget,
    mut each: impl FnMut(&mut Vec<u8>, Term<'a>) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    let at = out.len();
    out.put_u32(0);
    let mut count: u32 = 0;
    let mut rest = term;
    while let Ok((head, tail)) = rest.list_get_cell() {
        budget.spend(CELL)?;
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

/// A NUL at its end is allowed, as C strings have it.
fn string<'a>(term: Term<'a>, budget: &Budget) -> Result<Binary<'a>, Wrong> {
    let string = bytes(term, budget)?;
    match string.iter().position(|byte| *byte == 0) {
        None => Ok(string),
        Some(end) if end + 1 == string.len() => {
            string.make_subbinary(0, end).map_err(|_| Wrong::Shape)
        }
        Some(_) => Err(Wrong::Shape),
    }
}

/// iodata, capped.
pub fn bytes<'a>(term: Term<'a>, budget: &Budget) -> Result<Binary<'a>, Wrong> {
    let bytes = iodata(term, budget, MAX_DATA)?;
    if bytes.len() > MAX_DATA {
        return Err(Wrong::Shape);
    }
    budget.spend(bytes.len())?;
    Ok(bytes)
}

/// iodata. A binary is free, as it isn't copied. A list is not made a binary of more bytes than
/// `most`: few binaries may stand in it so often that no memory has room for them all.
fn iodata<'a>(term: Term<'a>, budget: &Budget, most: usize) -> Result<Binary<'a>, Wrong> {
    if term.is_binary() {
        return term.decode().map_err(|_| Wrong::Shape);
    }
    if (budget.is_light() || most < usize::MAX) && weigh(term, budget, most)? > most {
        return Err(Wrong::Shape);
    }
    Binary::from_iolist(term).map_err(|_| Wrong::Shape)
}

/// iodata for a stream, of any size.
pub fn data<'a>(term: Term<'a>, budget: &Budget) -> Result<Binary<'a>, Refused> {
    iodata(term, budget, usize::MAX).map_err(|wrong| match wrong {
        Wrong::Shape => Refused::Argument(1),
        Wrong::Heavy => Refused::Heavy,
    })
}

/// Spends what it takes to flatten an iolist. Returns how many bytes it has, or more than `most`,
/// after which it looks no further.
fn weigh(term: Term<'_>, budget: &Budget, most: usize) -> Result<usize, Heavy> {
    let size = |term: Term<'_>| term.decode::<Binary<'_>>().map_or(0, |binary| binary.len());
    let (mut bytes, mut rest, mut later) = (0_usize, term, Vec::new());
    while bytes <= most {
        if let Ok((head, tail)) = rest.list_get_cell() {
            budget.spend(CELL)?;
            rest = tail;
            match head.get_type() {
                TermType::List => {
                    later.push(tail);
                    rest = head;
                }
                TermType::Binary => {
                    let size = size(head);
                    budget.spend(size)?;
                    bytes = bytes.saturating_add(size);
                }
                _ => bytes = bytes.saturating_add(1),
            }
        } else {
            let size = size(rest);
            budget.spend(size)?;
            bytes = bytes.saturating_add(size);
            match later.pop() {
                Some(tail) => rest = tail,
                None => break,
            }
        }
    }
    Ok(bytes)
}

/// An integer, names of constants, iodata, or a structure. A name of prctl(2)'s goes before
/// that of another group.
fn pointer<'a>(out: &mut Vec<u8>, term: Term<'a>, budget: &Budget) -> Result<(), Wrong> {
    if term.is_atom() || is_names(term) {
        let value = match flags(Some(Group::Prctl), term, budget) {
            Err(Wrong::Shape) => flags(None, term, budget),
            value => value,
        };
        out.put_u8(ptr_tag::INT);
        out.put_u64(value?);
    } else if term.is_integer() {
        out.put_u8(ptr_tag::INT);
        let value = match term.decode::<i64>() {
            Ok(value) => value as u64,
            Err(_) => integer(term)?,
        };
        out.put_u64(value);
    } else if term.is_list() && has_pointers(term, budget)? {
        out.put_u8(ptr_tag::STRUCT);
        let mut zeroed = 0;
        list(out, term, budget, |out, item| {
            let Ok([what]) = record(item, terms::ptr()) else {
                out.put_u8(field_tag::BYTES);
                return bytes(item, budget).map(|bytes| out.put_bytes(&bytes));
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
                out.put_bytes(&bytes(what, budget)?);
            }
            Ok(())
        })?;
    } else {
        let bytes = bytes(term, budget)?;
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
fn has_pointers(term: Term<'_>, budget: &Budget) -> Result<bool, Heavy> {
    let mut rest = term;
    while let Ok((head, tail)) = rest.list_get_cell() {
        budget.spend(CELL)?;
        if head.is_tuple() {
            return Ok(true);
        }
        rest = tail;
    }
    Ok(false)
}

/// A fork path. `None` when it is none.
pub fn path(term: Term<'_>, budget: &Budget) -> Result<Option<Vec<u32>>, Heavy> {
    let mut pids = Vec::with_capacity(16);
    let mut rest = term;
    while let Ok((head, tail)) = rest.list_get_cell() {
        budget.spend(CELL)?;
        let Ok(pid) = head.decode() else {
            return Ok(None);
        };
        pids.push(pid);
        rest = tail;
    }
    Ok(rest.is_empty_list().then_some(pids))
}
