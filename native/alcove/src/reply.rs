//! What system calls return, as terms.

use alcove_proto::wire::arg::Timeval;
use alcove_proto::wire::{Atom, PutTerm};
use nix::errno::Errno;

/// Why a call has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fail {
    /// The kernel refused, with this number: `{error, posix()}`.
    Errno(i32),
    /// This platform has no such call: `{error, unsupported}`.
    Unsupported,
    /// The call was filtered: `{error, undef}`, which the caller is told by an exception.
    Filtered,
}

/// Must be called right after the call that failed. Error numbers without a name are all the same
/// [`Errno`], and the number itself is only known until another call fails.
impl From<Errno> for Fail {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::UnknownErrno => Fail::Errno(Errno::last_raw()),
            errno => Fail::Errno(errno as i32),
        }
    }
}

/// A call's outcome that can be an error.
pub type Outcome<T = ()> = Result<T, Fail>;

/// Writes itself as exactly one term.
pub trait Term {
    /// Appends the term.
    fn put(&self, out: &mut Vec<u8>);
}

/// What the function of a call returns: exactly one term.
pub trait Reply {
    /// Appends the term.
    fn put_reply(&self, out: &mut Vec<u8>);

    /// Whether the term is `{error, _}`: such a reply ends a batch.
    fn is_error(&self) -> bool {
        false
    }
}

/// A value by itself: `getpid` answers `123`.
#[derive(Clone, Copy, Debug)]
pub struct Bare<T>(pub T);

impl<T: Term> Reply for Bare<T> {
    fn put_reply(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
}

/// `ok` or `{error, Reason}`.
impl Reply for Outcome<()> {
    fn put_reply(&self, out: &mut Vec<u8>) {
        match self {
            Ok(()) => out.term_atom(Atom::Ok),
            Err(fail) => fail.put(out),
        }
    }

    fn is_error(&self) -> bool {
        self.is_err()
    }
}

/// `{ok, Value}` or `{error, Reason}`.
impl<T: Term> Reply for Outcome<T> {
    fn put_reply(&self, out: &mut Vec<u8>) {
        match self {
            Ok(value) => {
                out.term_tuple(2);
                out.term_atom(Atom::Ok);
                value.put(out);
            }
            Err(fail) => fail.put(out),
        }
    }

    fn is_error(&self) -> bool {
        self.is_err()
    }
}

impl Term for Fail {
    fn put(&self, out: &mut Vec<u8>) {
        out.term_tuple(2);
        out.term_atom(Atom::Error);
        self.put_reason(out);
    }
}

impl Fail {
    /// Appends the reason alone.
    pub fn put_reason(&self, out: &mut Vec<u8>) {
        match self {
            Fail::Errno(errno) => out.term_errno(*errno),
            Fail::Unsupported => out.term_atom(Atom::Unsupported),
            Fail::Filtered => out.term_atom(Atom::Undef),
        }
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Term for $type {
            fn put(&self, out: &mut Vec<u8>) {
                out.term_int(i64::from(*self));
            }
        }
    )*};
}

integers!(i32, u32, i64);

impl Term for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.term_uint(*self);
    }
}

impl Term for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.term_atom(if *self { Atom::True } else { Atom::False });
    }
}

impl Term for [u8] {
    fn put(&self, out: &mut Vec<u8>) {
        out.term_bin(self);
    }
}

impl Term for Vec<u8> {
    fn put(&self, out: &mut Vec<u8>) {
        out.term_bin(self);
    }
}

impl<T: Term + ?Sized> Term for &T {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }
}

/// A list.
#[derive(Clone, Debug)]
pub struct List<T>(pub Vec<T>);

impl<T: Term> Term for List<T> {
    fn put(&self, out: &mut Vec<u8>) {
        out.term_list(self.0.len());
        for term in &self.0 {
            term.put(out);
        }
    }
}

/// A value, or `false` for none.
impl<T: Term> Term for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.put(out),
            None => out.term_atom(Atom::False),
        }
    }
}

/// The terms of a tuple, without its head.
pub trait Fields {
    /// How many there are.
    const COUNT: u8;
    /// Appends them.
    fn put_fields(&self, out: &mut Vec<u8>);
}

macro_rules! fields {
    ($($count:literal: $($field:ident $type:ident),*;)*) => {$(
        impl<$($type: Term),*> Fields for ($($type,)*) {
            const COUNT: u8 = $count;
            fn put_fields(&self, out: &mut Vec<u8>) {
                let ($($field,)*) = self;
                $($field.put(out);)*
            }
        }
    )*};
}

fields! {
    2: a A, b B;
    3: a A, b B, c C;
}

/// `{ok, A, B, ...}` or `{error, Reason}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flat<T>(pub Outcome<T>);

impl<T: Fields> Reply for Flat<T> {
    fn put_reply(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Ok(fields) => {
                out.term_tuple(T::COUNT + 1);
                out.term_atom(Atom::Ok);
                fields.put_fields(out);
            }
            Err(fail) => fail.put(out),
        }
    }

    fn is_error(&self) -> bool {
        self.0.is_err()
    }
}

/// A tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple<T>(pub T);

impl<T: Fields> Term for Tuple<T> {
    fn put(&self, out: &mut Vec<u8>) {
        out.term_tuple(T::COUNT);
        self.0.put_fields(out);
    }
}

impl Term for Atom {
    fn put(&self, out: &mut Vec<u8>) {
        out.term_atom(*self);
    }
}

/// `#alcove_timeval{}`
impl Term for Timeval {
    fn put(&self, out: &mut Vec<u8>) {
        out.term_tuple(3);
        out.term_atom(Atom::AlcoveTimeval);
        out.term_int(self.sec);
        out.term_int(self.usec);
    }
}

/// A value in a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// An integer.
    Int(i64),
    /// An integer that may not fit in 63 bits.
    Uint(u64),
    /// An atom.
    Atom(Atom),
    /// A time.
    Time(Timeval),
}

/// A map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map<const N: usize>(pub [(Atom, Value); N]);

impl<const N: usize> Term for Map<N> {
    fn put(&self, out: &mut Vec<u8>) {
        out.term_map(N);
        for (key, value) in &self.0 {
            out.term_atom(*key);
            match value {
                Value::Int(value) => out.term_int(*value),
                Value::Uint(value) => out.term_uint(*value),
                Value::Atom(value) => out.term_atom(*value),
                Value::Time(value) => value.put(out),
            }
        }
    }
}
