//! What Erlang processes are told. The core says what; whoever knows terms makes and sends them.

use alcove_proto::wire::Malformed;
use nix::errno::Errno;

use crate::erlang::Erlang;
use crate::process::calls::{Pending, Waiter};
use crate::stream::Told;

/// The answer to a call.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// A reply, as the process encoded it.
    Reply(&'a [u8]),
    /// The process left its event loop, as it was asked to. With a batch, the
    /// results that it sent before.
    Left(Option<&'a [u8]>),
    /// The pid of a new process.
    Forked(u32),
    /// The fork path of a program.
    Kept(&'a [u32]),
    /// The number of an error that was found on this side.
    Failed(Errno),
    /// The process went away.
    Gone,
}

/// Sends what a thread that reads control sockets has to say.
pub trait Mail<E: Erlang> {
    /// Whether the thread is a scheduler, which must not do much work, in a call of an Erlang
    /// process.
    fn is_scheduler(&self) -> bool;

    /// An answer is too much work for a scheduler, and comes later. If the scheduler polls for it,
    /// its caller gets a ticket instead.
    fn defer(&mut self, waiter: &mut Waiter<E>);

    /// Answers a call of a Drv's process at a fork path. If the answer can't be read, the caller is
    /// told that the process is gone.
    fn answer(
        &mut self,
        drv: E::Pid,
        path: &[u32],
        pending: Pending<E>,
        answer: Answer<'_>,
    ) -> Result<(), Malformed>;

    /// Tells writers that they need not wait any more.
    fn tell(&mut self, told: Vec<Told<E>>);

    /// Tells the process that watches a tree that a process was added.
    fn forked(&mut self, reporter: E::Pid, path: &[u32]);
}
