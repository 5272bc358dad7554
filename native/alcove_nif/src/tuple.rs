//! Access to tuples without copying them, since a tuple may have millions of elements.

use rustler::sys::{ErlNifTerm, enif_get_tuple};
use rustler::{Atom, Term};

/// The elements of a tuple. They are in the environment.
fn elements<'a>(term: Term<'a>) -> Option<&'a [ErlNifTerm]> {
    let (mut arity, mut first) = (0, std::ptr::null());
    let env = term.get_env().as_c_arg();
    // SAFETY: the term is of this environment; both pointers are to places for the answer.
    let is_tuple = unsafe { enif_get_tuple(env, term.as_c_arg(), &raw mut arity, &raw mut first) };
    match usize::try_from(arity) {
        _ if is_tuple == 0 => None,
        Ok(0) | Err(_) => Some(&[]),
        // SAFETY: the VM says that there are so many, for as long as the term is there.
        Ok(arity) => Some(unsafe { std::slice::from_raw_parts(first, arity) }),
    }
}

/// Words of the environment of `of` as terms.
fn terms<'a, const N: usize>(of: Term<'a>, words: &[ErlNifTerm]) -> Option<[Term<'a>; N]> {
    let words: &[ErlNifTerm; N] = words.try_into().ok()?;
    // SAFETY: an element of a term is a term of the same environment.
    Some(words.map(|word| unsafe { Term::new(of.get_env(), word) }))
}

/// The elements of a tuple of so many.
pub fn fields<const N: usize>(term: Term<'_>) -> Option<[Term<'_>; N]> {
    terms(term, elements(term)?)
}

/// The fields of a record of this name.
pub fn record<const N: usize>(term: Term<'_>, name: Atom) -> Option<[Term<'_>; N]> {
    let (head, rest) = elements(term)?.split_first()?;
    if *head == name.as_c_arg() {
        terms(term, rest)
    } else {
        None
    }
}
