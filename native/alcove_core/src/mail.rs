//! What Erlang processes are told. The core says what; whoever knows terms makes and sends them.

use std::time::Duration;

use alcove_proto::frame::RUSAGE;
use alcove_proto::keep::Over;
use alcove_proto::wire::Malformed;
use nix::errno::Errno;

use crate::erlang::Erlang;
use crate::poller::Channel;
use crate::process::End;
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

/// An owner, and what it is told about: a process by its Drv and fork path.
pub struct To<'a, E: Erlang> {
    /// The owner.
    pub owner: E::Pid,
    /// Who is told if the owner doesn't live.
    pub other: Option<E::Pid>,
    /// The Drv.
    pub drv: E::Pid,
    /// The fork path.
    pub path: &'a [u32],
}

/// Bytes that a process wrote.
pub enum Bytes<'a, B> {
    /// Few, which are copied.
    Small(&'a [u8]),
    /// As many of a buffer's.
    Large(B, usize),
}

/// An event of a process.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// It caught a signal.
    Signal(i32),
    /// It doesn't speak the protocol.
    Malformed,
    /// It ended, and this is what it used.
    Usage(&'a [i64; RUSAGE]),
    /// It ended, with this status, as wait(2) has it.
    Status(i32),
    /// It was a keeper's program, and nothing of it is left, or this is.
    Over(&'a Over),
}

/// What the router has to say besides.
pub trait Post<E: Erlang>: Mail<E> {
    /// Gives an owner what a process wrote to stdout or stderr.
    fn output(&mut self, to: &To<'_, E>, channel: Channel, bytes: Bytes<'_, E::Buffer>);

    /// Tells an owner of an event.
    fn event(&mut self, to: &To<'_, E>, news: News<'_>);

    /// Has a Drv find out whether an owner keeps up, which is answered with the token.
    fn ask(&mut self, drv: E::Pid, owner: E::Pid, token: u64);

    /// Tells the process that watches a tree that a process is gone, how long it lived, and how it
    /// ended, if its parent said so.
    fn gone(&mut self, reporter: E::Pid, path: &[u32], lived: Duration, end: Option<&End>);
}
