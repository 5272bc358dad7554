//! What tests of calls need: a process to call them, and what they answer, as text.

use crate::process::{Options, Process};
use crate::reply::Reply;
use alcove_proto::frame::Init;
use alcove_proto::wire::{self, Builder, Reader};

pub use crate::sys::testing::{Scratch, in_child, need};

/// A process as the event loop has it. Its control socket is a number that no
/// test has open.
pub fn process() -> Process {
    let mut process = Process::root(CONTROL, Options::new(&Init::default(), 1024));
    process.depth = 1;
    process
}

/// The control socket of [`process`].
pub const CONTROL: i32 = 999;

/// The term that a reply is, as text: `{ok,"abc"}`.
pub fn text(reply: &impl Reply) -> String {
    let mut out = Vec::new();
    reply.put_reply(&mut out);
    let mut reader = Reader::new(&out);
    let text = wire::read_term(&mut reader, &mut Text).expect("a term");
    reader.end().expect("one term");
    text
}

struct Text;

impl Builder for Text {
    type Term = String;
    fn atom(&mut self, place: u16) -> Option<String> {
        wire::ATOMS
            .get(usize::from(place))
            .map(|name| (*name).to_owned())
    }
    fn errno(&mut self, number: u16) -> String {
        alcove_proto::errno::name(number)
            .unwrap_or("unknown")
            .to_owned()
    }
    fn signal(&mut self, number: u16) -> String {
        alcove_proto::constants::signal_name(i32::from(number))
            .unwrap_or("unknown")
            .to_owned()
    }
    fn int(&mut self, value: i64) -> String {
        value.to_string()
    }
    fn uint(&mut self, value: u64) -> String {
        value.to_string()
    }
    fn bin(&mut self, bytes: &[u8]) -> Option<String> {
        Some(format!("\"{}\"", bytes.escape_ascii()))
    }
    fn list(&mut self, terms: Vec<String>) -> String {
        format!("[{}]", terms.join(","))
    }
    fn tuple(&mut self, terms: Vec<String>) -> String {
        format!("{{{}}}", terms.join(","))
    }
    fn map(&mut self, pairs: Vec<(String, String)>) -> Option<String> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(key, value)| format!("{key}=>{value}"))
            .collect();
        Some(format!("#{{{}}}", pairs.join(",")))
    }
}
