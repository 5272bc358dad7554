//! The decoders.
//!
//! Each target takes bytes as the other side of a socket would send them, and panics when
//! something doesn't hold that must hold for any bytes.

use alcove_proto::for_each_call;
use alcove_proto::frame::{self, Calls, Frame, Hello, Init, MAX_FRAME, Raw};
use alcove_proto::wire::arg::{self, Arg};
use alcove_proto::wire::{ATOMS, Builder, MAX_DEPTH, Put, PutTerm, Reader};
use alcove_proto::wire::{has_more_parts, read_term, tag};

/// A target.
pub type Target = fn(&[u8]);

/// The targets, by the names of their corpora.
pub const TARGETS: &[(&str, Target)] = &[
    ("frames", frames),
    ("terms", terms),
    ("arguments", arguments),
    ("greetings", greetings),
];

/// A stream of frames is taken apart: no frame is longer than it may be, what one says is
/// written as it was read, and all of them are the stream again.
pub fn frames(bytes: &[u8]) {
    let mut rest = bytes;
    let mut again = Vec::new();
    while let Ok(Some(raw)) = Raw::next(&mut rest) {
        assert!(raw.payload.len() < MAX_FRAME);
        let at = frame::start(&mut again, raw.kind);
        again.raw(raw.payload);
        frame::finish(&mut again, at);
        read(raw);
    }
    again.raw(rest);
    assert_eq!(again, bytes);
}

/// Reads a frame as each type that there is.
fn read(raw: Raw<'_>) {
    same::<frame::Call<'_>>(raw);
    same::<frame::Reply<'_>>(raw);
    same::<frame::Signal>(raw);
    same::<frame::Child>(raw);
    same::<frame::Partial<'_>>(raw);
    if let Ok(forked) = raw.read::<frame::Forked>() {
        // Whatever isn't 0 is true, and is written as 1.
        let mut again = Vec::new();
        forked.put(&mut again);
        assert_eq!(frame::Forked::read(&again), Ok(forked));
    }
    let batches = [
        same::<frame::Batch<'_>>(raw).map(|batch| batch.calls),
        same::<frame::Spawn<'_>>(raw).map(|spawn| spawn.calls),
    ];
    for calls in batches.into_iter().flatten() {
        let taken: usize = Calls::read(calls)
            .into_iter()
            .flatten()
            .map_while(Result::ok)
            .map(|(_, arguments)| 6 + arguments.len())
            .sum();
        assert!(taken <= calls.len());
    }
}

/// What a payload says, which is the same payload when it is written.
fn same<'a, F: Frame<'a>>(raw: Raw<'a>) -> Option<F> {
    let frame: F = raw.read().ok()?;
    let mut again = Vec::new();
    frame.put(&mut again);
    assert_eq!(again, raw.payload);
    Some(frame)
}

/// A term that can be read is bounded, and comes back when it is written and read again.
pub fn terms(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let Ok(term) = read_term(&mut reader, &mut Building) else {
        return;
    };
    assert!(term.depth() <= MAX_DEPTH);
    // Two bytes make one term at most.
    assert!(term.count() <= bytes.len().div_ceil(2));
    assert!(has_more_parts(bytes, term.count() - 1));
    let mut again = Vec::new();
    term.write(&mut again);
    assert_eq!(again, &bytes[..bytes.len() - reader.rest().len()]);
    assert_eq!(read_term(&mut Reader::new(&again), &mut Building), Ok(term));
}

/// The arguments of each call are read from the same bytes: what is made of them isn't
/// larger than they are.
pub fn arguments(bytes: &[u8]) {
    let Some((number, bytes)) = bytes.split_first_chunk() else {
        return;
    };
    read_arguments(u16::from_le_bytes(*number), bytes);
}

macro_rules! reading {
    ($($number:literal $module:ident::$name:ident($($arg:ident: $kind:ident),*)
       $man:literal $platforms:ident $summary:literal;)*) => {
        /// Reads the arguments of one call.
        fn read_arguments(number: u16, bytes: &[u8]) {
            let mut reader = Reader::new(bytes);
            match number {
                $($number => {
                    let _ = ($(<arg::$kind as Arg>::read(&mut reader),)*);
                })*
                _ => {}
            }
        }
    };
}

for_each_call!(reading);

/// The first frame to root and the first from it.
pub fn greetings(bytes: &[u8]) {
    if let Ok(init) = Init::read(bytes) {
        let mut again = Vec::new();
        init.put(&mut again);
        assert_eq!(Init::read(&again), Ok(init));
    }
    if let Ok(hello) = Hello::read(bytes) {
        let mut again = Vec::new();
        hello.put(&mut again);
        assert_eq!(again, bytes);
    }
}

/// A term, as it was read.
#[derive(Debug, PartialEq)]
enum Term {
    Atom(u16),
    Errno(u16),
    Signal(u16),
    Int(i64),
    Uint(u64),
    Bin(Vec<u8>),
    List(Vec<Term>),
    Tuple(Vec<Term>),
    Map(Vec<(Term, Term)>),
}

impl Term {
    fn depth(&self) -> usize {
        1 + match self {
            Term::List(terms) | Term::Tuple(terms) => terms.iter().map(Term::depth).max(),
            Term::Map(pairs) => pairs.iter().map(|(_, value)| value.depth()).max(),
            _ => None,
        }
        .unwrap_or(0)
    }

    fn count(&self) -> usize {
        1 + match self {
            Term::List(terms) | Term::Tuple(terms) => terms.iter().map(Term::count).sum(),
            Term::Map(pairs) => pairs
                .iter()
                .map(|(key, value)| key.count() + value.count())
                .sum(),
            _ => 0,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Term::Atom(place) => {
                out.put_u8(tag::ATOM);
                out.put_u16(*place);
            }
            Term::Errno(number) => out.term_errno(i32::from(*number)),
            Term::Signal(number) => out.term_signal(i32::from(*number)),
            Term::Int(value) => out.term_int(*value),
            Term::Uint(value) => out.term_uint(*value),
            Term::Bin(bytes) => out.term_bin(bytes),
            Term::List(terms) => {
                out.term_list(terms.len());
                terms.iter().for_each(|term| term.write(out));
            }
            Term::Tuple(terms) => {
                out.term_tuple(terms.len() as u8);
                terms.iter().for_each(|term| term.write(out));
            }
            Term::Map(pairs) => {
                out.term_map(pairs.len());
                for (key, value) in pairs {
                    key.write(out);
                    value.write(out);
                }
            }
        }
    }
}

/// Builds [`Term`]s.
struct Building;

impl Builder for Building {
    type Term = Term;

    fn atom(&mut self, place: u16) -> Option<Term> {
        (usize::from(place) < ATOMS.len()).then_some(Term::Atom(place))
    }
    fn errno(&mut self, number: u16) -> Term {
        Term::Errno(number)
    }
    fn signal(&mut self, number: u16) -> Term {
        Term::Signal(number)
    }
    fn int(&mut self, value: i64) -> Term {
        Term::Int(value)
    }
    fn uint(&mut self, value: u64) -> Term {
        Term::Uint(value)
    }
    fn bin(&mut self, bytes: &[u8]) -> Option<Term> {
        Some(Term::Bin(bytes.to_vec()))
    }
    fn list(&mut self, terms: Vec<Term>) -> Term {
        Term::List(terms)
    }
    fn tuple(&mut self, terms: Vec<Term>) -> Term {
        Term::Tuple(terms)
    }
    fn map(&mut self, pairs: Vec<(Term, Term)>) -> Option<Term> {
        Some(Term::Map(pairs))
    }
}
