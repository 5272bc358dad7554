//! Arguments that a system call may take as numbers or as pointers.
//!
//! The user says which, and what is where: a number, bytes, or a structure of bytes
//! and pointers to bytes. A pointer's bytes are copied to memory that the kernel may
//! write to, and what is there after the call goes back to the user.

use crate::reply::Term;
use alcove_proto::frame::MAX_DATA;
use alcove_proto::wire::arg::{Field, Ptr};
use alcove_proto::wire::{Atom, PutTerm};
use nix::errno::Errno;

/// Zero bytes behind every block. Some calls read a string up to its NUL, and some write
/// so many bytes whatever the size of what they are given (PR_GET_NAME 16).
const SLACK: usize = 64;

/// How much memory the arguments of one call may still take.
#[derive(Debug)]
pub struct Budget(usize);

impl Budget {
    /// For a new call: what goes back has to fit in a reply.
    pub fn new() -> Self {
        Budget(MAX_DATA)
    }

    fn take(&mut self, size: usize) -> nix::Result<()> {
        let size = size.checked_add(SLACK).ok_or(Errno::EINVAL)?;
        self.0 = self.0.checked_sub(size).ok_or(Errno::EINVAL)?;
        Ok(())
    }
}

/// Memory that the kernel reads and writes.
#[derive(Debug)]
struct Block {
    /// The bytes and the slack.
    memory: Vec<u8>,
    length: usize,
}

impl Block {
    fn new(budget: &mut Budget, bytes: &[u8]) -> nix::Result<Self> {
        let mut block = Block::zeroed(budget, bytes.len())?;
        block.memory[..bytes.len()].copy_from_slice(bytes);
        Ok(block)
    }

    fn zeroed(budget: &mut Budget, length: usize) -> nix::Result<Self> {
        budget.take(length)?;
        Ok(Block {
            memory: vec![0; length + SLACK],
            length,
        })
    }

    fn address(&mut self) -> usize {
        self.memory.as_mut_ptr().expose_provenance()
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

/// An argument in memory of this process.
#[derive(Debug)]
pub enum Argument {
    /// A number.
    Number(u64),
    /// A pointer to bytes.
    Bytes(Bytes),
    /// A pointer to a structure.
    Structure(Structure),
}

/// Bytes that are pointed to.
#[derive(Debug)]
pub struct Bytes(Block);

/// A structure that is pointed to.
#[derive(Debug)]
pub struct Structure {
    block: Block,
    parts: Vec<Part>,
}

/// A part of a structure.
#[derive(Debug)]
enum Part {
    /// So many bytes of the structure itself.
    Inline(usize),
    /// A pointer to these.
    Pointer(Block),
}

impl Argument {
    /// Copies what the user gave; `einval` when the budget does not suffice.
    pub fn new(budget: &mut Budget, given: Ptr<'_>) -> nix::Result<Self> {
        match given {
            Ptr::Int(number) => Ok(Argument::Number(number)),
            Ptr::Bytes(bytes) => Ok(Argument::Bytes(Bytes(Block::new(budget, bytes)?))),
            Ptr::Struct(fields) => Structure::new(budget, fields).map(Argument::Structure),
        }
    }

    /// The number or the pointer, as it is passed to the kernel. A pointer is valid as long as
    /// this value lives. `einval` when a number is too large for the machine.
    pub fn word(&mut self) -> nix::Result<usize> {
        match self {
            Argument::Number(number) => word(*number),
            Argument::Bytes(Bytes(block)) => Ok(block.address()),
            Argument::Structure(structure) => Ok(structure.block.address()),
        }
    }
}

/// A number as wide as a pointer. Negative numbers came as their 64 bit complement.
fn word(number: u64) -> nix::Result<usize> {
    usize::try_from(number)
        .or_else(|_| isize::try_from(number as i64).map(|number| number as usize))
        .map_err(|_| Errno::EINVAL)
}

impl Structure {
    fn new(budget: &mut Budget, fields: Vec<Field<'_>>) -> nix::Result<Self> {
        let mut memory = Vec::new();
        let mut parts = Vec::with_capacity(fields.len());
        for field in fields {
            let part = match field {
                Field::Bytes(bytes) => {
                    memory.extend_from_slice(bytes);
                    parts.push(Part::Inline(bytes.len()));
                    continue;
                }
                Field::Zeroed(size) => Block::zeroed(budget, size)?,
                Field::Pointer(bytes) => Block::new(budget, bytes)?,
            };
            parts.push(Part::pointer(part, &mut memory));
        }
        Ok(Structure {
            block: Block::new(budget, &memory)?,
            parts,
        })
    }
}

impl Part {
    /// Appends the address of the block to the structure's memory.
    fn pointer(mut block: Block, memory: &mut Vec<u8>) -> Self {
        memory.extend_from_slice(&block.address().to_ne_bytes());
        Part::Pointer(block)
    }
}

/// As it was given, with the bytes that are there now: an integer, a binary, or a
/// list of `Bin | {ptr, Bin}`.
impl Term for Argument {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Argument::Number(number) => out.term_uint(*number),
            Argument::Bytes(Bytes(block)) => out.term_bin(block.bytes()),
            Argument::Structure(structure) => structure.put(out),
        }
    }
}

impl Term for Structure {
    fn put(&self, out: &mut Vec<u8>) {
        let mut rest = self.block.bytes();
        let mut next = |size: usize| {
            let (bytes, after) = rest.split_at(size);
            rest = after;
            bytes
        };
        out.term_list(self.parts.len());
        for part in &self.parts {
            match part {
                Part::Inline(size) => out.term_bin(next(*size)),
                Part::Pointer(block) => {
                    next(size_of::<usize>());
                    out.term_tuple(2);
                    out.term_atom(Atom::Ptr);
                    out.term_bin(block.bytes());
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(unsafe_code)]
mod tests {
    use super::*;
    use crate::calls::testing::text;
    use crate::reply::Bare;

    fn argument(given: Ptr<'_>) -> nix::Result<Argument> {
        Argument::new(&mut Budget::new(), given)
    }

    /// What is at an address.
    fn at(address: usize, length: usize) -> Vec<u8> {
        let pointer = std::ptr::with_exposed_provenance::<u8>(address);
        // SAFETY: the tests look at what an argument that is alive points to.
        unsafe { std::slice::from_raw_parts(pointer, length) }.to_vec()
    }

    #[test]
    fn numbers_are_passed_as_they_are() {
        let mut number = argument(Ptr::Int(7)).expect("an argument");
        assert_eq!(number.word(), Ok(7));
        assert_eq!(text(&Bare(number)), "7");
        let mut negative = argument(Ptr::Int(-1_i64 as u64)).expect("an argument");
        assert_eq!(negative.word(), Ok(usize::MAX));
    }

    #[test]
    fn bytes_are_copied_and_have_zeros_behind_them() {
        let mut bytes = argument(Ptr::Bytes(b"abc")).expect("an argument");
        let address = bytes.word().expect("an address");
        let memory = at(address, 3 + SLACK);
        assert_eq!(memory[..3], *b"abc");
        assert!(memory[3..].iter().all(|byte| *byte == 0));
        assert_eq!(text(&Bare(bytes)), r#""abc""#);
    }

    #[test]
    fn a_structure_holds_pointers() {
        let fields = vec![
            Field::Bytes(b"head"),
            Field::Pointer(b"there"),
            Field::Zeroed(3),
            Field::Bytes(b""),
            Field::Bytes(b"tail"),
        ];
        let mut structure = argument(Ptr::Struct(fields)).expect("an argument");
        let word = size_of::<usize>();
        let memory = at(structure.word().expect("an address"), 8 + 2 * word);
        assert_eq!(memory[..4], *b"head");
        assert_eq!(memory[4 + 2 * word..], *b"tail");
        let pointer =
            |at: usize| usize::from_ne_bytes(*memory[at..].first_chunk().expect("a pointer"));
        assert_eq!(at(pointer(4), 5), b"there");
        let zeroed = std::ptr::with_exposed_provenance_mut::<u8>(pointer(4 + word));
        // SAFETY: the pointer is to three bytes of the structure's.
        unsafe { zeroed.copy_from_nonoverlapping(b"xyz".as_ptr(), 3) };
        assert_eq!(
            text(&Bare(structure)),
            r#"["head",{ptr,"there"},{ptr,"xyz"},"","tail"]"#
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut budget = Budget::new();
        let half = vec![0; MAX_DATA / 2];
        assert!(Argument::new(&mut budget, Ptr::Bytes(&half)).is_ok());
        let full = Argument::new(&mut budget, Ptr::Bytes(&half)).map(drop);
        assert_eq!(full, Err(Errno::EINVAL));
        let many = Ptr::Struct(vec![Field::Zeroed(0); MAX_DATA / SLACK + 1]);
        assert_eq!(argument(many).map(drop), Err(Errno::EINVAL));
        assert_eq!(
            argument(Ptr::Struct(vec![Field::Zeroed(usize::MAX)])).map(drop),
            Err(Errno::EINVAL)
        );
    }
}
