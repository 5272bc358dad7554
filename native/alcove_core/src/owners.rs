//! What owners have been sent, and which streams wait until an owner keeps up.
//!
//! ```text
//!            a message                   ASK bytes: Drv asks the owner
//!   KEEPS UP ---------> KEEPS UP  ... -----------------------------------> ASKED
//!      ^                                                                     |  HOLD bytes
//!      |                    the owner answers                                v
//!      +------------------------------------------------------------------ BEHIND
//!                                                        its busy streams are held
//! ```
//!
//! The question goes through the owner's own mailbox, behind what it was sent. So an owner is
//! behind when it hasn't taken that, whatever else is in its mailbox.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::erlang::Erlang;
use crate::poller::Channel;
use crate::process::Process;
use crate::stream::Stream;

/// After so many bytes, the router asks the Drv to check whether the owner keeps up.
const ASK: usize = 2 * 1024 * 1024;

/// After so many bytes without an answer, the router holds the owner's busy streams.
const HOLD: usize = 8 * 1024 * 1024;

/// A stream that sent less than this since the owner last kept up is never held.
const QUIET: usize = 64 * 1024;

/// The memory that a message takes besides its bytes.
const OVERHEAD: usize = 256;

/// So many owners are remembered, whether or not they own anything.
const FEW: usize = 64;

/// A stream of a process.
pub type Held<E> = (Arc<Process<E>>, Channel);

/// The owners of a tree.
pub struct Owners<E: Erlang> {
    loads: HashMap<E::Pid, Load<E>>,
    /// The owners that haven't answered a question yet, by its token.
    asked: HashMap<u64, E::Pid>,
    /// The last token that was given out.
    tokens: u64,
    /// When there are so many, it is time to forget those that own nothing.
    many: usize,
}

/// What an owner was sent since it last kept up.
struct Load<E: Erlang> {
    /// The token of the last question that it answered.
    window: u64,
    sent: usize,
    /// The token of the question that it hasn't answered.
    asked: Option<u64>,
    held: Vec<Held<E>>,
    /// Processes and signals that they caught, of which it was told while it was behind.
    signals: HashSet<(u64, i32)>,
}

impl<E: Erlang> Load<E> {
    fn new(window: u64) -> Self {
        Load {
            window,
            sent: 0,
            asked: None,
            held: Vec::new(),
            signals: HashSet::new(),
        }
    }

    fn is_behind(&self) -> bool {
        self.sent >= HOLD
    }
}

impl<E: Erlang> Default for Owners<E> {
    /// Nobody was sent anything.
    fn default() -> Self {
        Owners {
            loads: HashMap::new(),
            asked: HashMap::new(),
            tokens: 0,
            many: FEW,
        }
    }
}

impl<E: Erlang> Owners<E> {
    fn load(&mut self, owner: E::Pid) -> &mut Load<E> {
        self.loads.entry(owner).or_insert_with(|| Load::new(0))
    }

    /// Whether a stream of a process may go on. If not, it is held, and `stream` says so.
    pub fn allows(
        &mut self,
        owner: E::Pid,
        process: &Arc<Process<E>>,
        channel: Channel,
        stream: &mut Stream,
    ) -> bool {
        let load = self.load(owner);
        stream.begin_window(load.window);
        if !load.is_behind() || stream.recent < QUIET {
            return true;
        }
        stream.held = true;
        load.held.push((Arc::clone(process), channel));
        false
    }

    /// Counts a message of a stream with so many bytes. Returns the token of a question that the
    /// owner is to be asked after it.
    pub fn sent(&mut self, owner: E::Pid, stream: &mut Stream, bytes: usize) -> Option<u64> {
        let load = self.load(owner);
        stream.begin_window(load.window);
        stream.recent += bytes + OVERHEAD;
        load.sent += bytes + OVERHEAD;
        self.question(owner)
    }

    /// Whether an owner is told that a process caught a signal. One that is behind is told of each
    /// signal only once, just as the kernel keeps only one of a pending signal.
    pub fn tells(&mut self, owner: E::Pid, process: u64, signal: i32) -> bool {
        let load = self.load(owner);
        !load.is_behind() || load.signals.insert((process, signal))
    }

    /// The same as [`sent`](Owners::sent), for a message without bytes.
    pub fn told(&mut self, owner: E::Pid) -> Option<u64> {
        self.load(owner).sent += OVERHEAD;
        self.question(owner)
    }

    fn question(&mut self, owner: E::Pid) -> Option<u64> {
        let next = self.tokens + 1;
        let load = self.load(owner);
        if load.sent < ASK || load.asked.is_some() {
            return None;
        }
        load.asked = Some(next);
        self.tokens = next;
        self.asked.insert(next, owner);
        Some(next)
    }

    /// The owner that was asked with a token keeps up. Its streams go on, which the caller sees to.
    pub fn resumed(&mut self, token: u64) -> Vec<Held<E>> {
        let owner = self.asked.remove(&token);
        let Some(load) = owner.and_then(|owner| self.loads.get_mut(&owner)) else {
            return Vec::new();
        };
        std::mem::replace(load, Load::new(token)).held
    }

    /// The owner has ended. Its streams go on, to another owner.
    pub fn gone(&mut self, owner: E::Pid) -> Vec<Held<E>> {
        let Some(load) = self.loads.remove(&owner) else {
            return Vec::new();
        };
        if let Some(token) = load.asked {
            self.asked.remove(&token);
        }
        load.held
    }

    /// The streams of a process wait for no owner any more.
    pub fn let_go(&mut self, process: &Process<E>) {
        for load in self.loads.values_mut() {
            load.held.retain(|(held, _)| held.id != process.id);
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.loads.len()
    }

    /// Whether there are so many that some of them may own nothing any more.
    pub fn are_many(&self) -> bool {
        self.loads.len() >= self.many
    }

    /// Forgets the owners that own nothing, except those that haven't answered a question yet, and
    /// so were sent much. `processes` is how many processes the tree has: to look for their owners
    /// takes so long, and is not done again before as many owners are new.
    pub fn keep(&mut self, owners: &HashSet<E::Pid>, processes: usize) {
        self.loads
            .retain(|owner, load| load.asked.is_some() || owners.contains(owner));
        self.many = FEW
            .max(2 * self.loads.len())
            .max(self.loads.len() + processes);
    }
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use super::*;
    use crate::closer::Closer;
    use crate::process::{Channels, Role};
    use crate::testing::Plain;

    const OWNER: u32 = 7;
    const MESSAGE: usize = 256 * 1024;

    fn process(id: u64) -> Arc<Process<Plain>> {
        let closer = Closer::new();
        let channels = Channels::default();
        Arc::new(Process::new(
            id,
            [1].into(),
            Role::EventLoop,
            channels,
            &closer,
            None,
            0,
        ))
    }

    /// Sends messages until the owner is behind; the tokens of the questions meanwhile.
    fn flood(owners: &mut Owners<Plain>, process: &Arc<Process<Plain>>) -> Vec<u64> {
        let mut stream = process.stdout.lock();
        let mut tokens = Vec::new();
        while owners.allows(OWNER, process, Channel::Stdout, &mut stream) {
            tokens.extend(owners.sent(OWNER, &mut stream, MESSAGE));
        }
        tokens
    }

    #[test]
    fn an_owner_that_does_not_answer_is_asked_once_and_then_held() {
        let (mut owners, busy) = (Owners::default(), process(1));
        assert_eq!(flood(&mut owners, &busy), [1]);
        assert!(busy.stdout.lock().held);
        // A quiet stream of the same owner goes on, and so does everything of another owner.
        let quiet = process(2);
        let mut stream = quiet.stdout.lock();
        assert!(owners.allows(OWNER, &quiet, Channel::Stdout, &mut stream));
        assert_eq!(owners.sent(OWNER, &mut stream, 1), None);
        drop(stream);
        assert!(owners.allows(OWNER + 1, &busy, Channel::Stdout, &mut busy.stdout.lock()));
    }

    #[test]
    fn its_answer_lets_its_streams_go_on() {
        let (mut owners, busy) = (Owners::default(), process(1));
        let [token] = flood(&mut owners, &busy)[..] else {
            panic!("it is asked once");
        };
        // An answer to no question.
        assert!(owners.resumed(token + 1).is_empty());
        let held = owners.resumed(token);
        let held: Vec<_> = held
            .iter()
            .map(|(process, channel)| (process.id, *channel))
            .collect();
        assert_eq!(held, [(1, Channel::Stdout)]);
        // It counts from the beginning, and is asked anew.
        assert!(owners.resumed(token).is_empty());
        assert_eq!(flood(&mut owners, &busy), [token + 1]);
    }

    #[test]
    fn the_streams_of_an_owner_that_ended_go_on() {
        let (mut owners, busy) = (Owners::default(), process(1));
        flood(&mut owners, &busy);
        assert_eq!(owners.gone(OWNER).len(), 1);
        assert!(owners.gone(OWNER).is_empty());
    }

    #[test]
    fn an_owner_that_is_behind_is_told_of_a_signal_once() {
        let (mut owners, busy) = (Owners::default(), process(1));
        assert!(owners.tells(OWNER, 1, 15) && owners.tells(OWNER, 1, 15));
        let tokens = flood(&mut owners, &busy);
        assert!(owners.tells(OWNER, 1, 15));
        assert!(!owners.tells(OWNER, 1, 15));
        assert!(owners.tells(OWNER, 1, 10) && owners.tells(OWNER, 2, 15));
        owners.resumed(tokens[0]);
        assert!(owners.tells(OWNER, 1, 15) && owners.tells(OWNER, 1, 15));
    }

    /// Messages without bytes take memory, too.
    #[test]
    fn signals_alone_bring_a_question() {
        let mut owners = Owners::<Plain>::default();
        let asked = (1..).find(|_| owners.told(OWNER).is_some());
        assert_eq!(asked, Some(ASK / OVERHEAD));
    }
}
