//! The router: one thread for each tree, which watches the channels, and sees to the end of the
//! tree.

use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use alcove_proto::frame::RootStatus;
use alcove_proto::poll::Eager;
use crossbeam_channel::Receiver;
use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};

use crate::closer::Foreign;
use crate::erlang::Erlang;
use crate::launch::{Child, Deadline, Launched};
use crate::mail::Post;
use crate::poller::{Channel, Events, Interest, Source};
use crate::process::Role;
use crate::routes::Routes;
use crate::scm;
use crate::tree::{Command, Tree};

/// How long the process that the VM started has to end after its tree.
const LAST: Duration = Duration::from_secs(1);

/// How long the guardian has to end a tree.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the router continues the guardian meanwhile, as a program of the same user may stop
/// it.
const WAKE: Duration = Duration::from_millis(50);

/// How a tree ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The VM asked it to end.
    Asked,
    /// Root ended with this status.
    Root(i32),
    /// The tree is gone, and no process reported how root ended.
    Unknown,
    /// The VM asked it to end, but it didn't in time. The pids are those that are left, as far as
    /// they are known.
    Late(Vec<i32>),
}

/// How far the tree is on its way to the end.
///
/// ```text
///              root has left its event loop             root or the guardian doesn't end
///   RUNNING ---------------------------------> LEAVING ----------------------------------+
///      |                                          |                                      v
///      +------------------------------------------+--- the VM asks the tree to end --> STOPPING
/// ```
///
/// The end itself is that of the lifeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It runs.
    Running,
    /// Root is about to end, and the guardian will end what is below it.
    Leaving { since: Instant },
    /// The guardian was told to end it, if not by the VM then because root didn't end.
    Stopping { since: Instant, asked: bool },
}

impl Phase {
    /// Whether the VM asked it to end.
    fn is_asked(self) -> bool {
        matches!(self, Phase::Stopping { asked: true, .. })
    }
}

struct Router<'t, E: Erlang, M> {
    tree: &'t Tree<E>,
    routes: Routes<'t, E, M>,
    lifeline: Foreign,
    child: Child,
    /// Root's pid.
    root_pid: i32,
    root_status: Option<i32>,
    phase: Phase,
    /// When the router last continued the guardian.
    woken: Instant,
    eager: Eager,
}

/// Routes until the tree is gone; `ready` is called when calls can be made.
pub fn run<E: Erlang>(
    tree: &Tree<E>,
    launched: Launched,
    commands: &Receiver<Command<E>>,
    mail: impl Post<E>,
    ready: impl FnOnce(),
) -> Result<Ending, Errno> {
    let Launched {
        child,
        root: root_pid,
        channels,
        lifeline,
    } = launched;
    let root = tree.process(
        Box::from([]),
        Role::EventLoop,
        channels.into_iter().collect(),
        None,
        0,
    );
    tree.add(&root, &mut root.calls.lock())?;
    tree.poller
        .add(lifeline.as_fd(), Source::Lifeline, Interest::READ)?;
    ready();
    let mut router = Router {
        tree,
        routes: Routes::new(tree, root, mail),
        lifeline,
        child,
        root_pid: i32::try_from(root_pid).unwrap_or_default(),
        root_status: None,
        phase: Phase::Running,
        woken: Instant::now(),
        eager: Eager::default(),
    };
    let ending = router.route(commands);
    // When the lifeline is closed, the guardian ends, if it still lives.
    drop(router.lifeline);
    if ending.is_ok() {
        // Reaps the process that was started, unless the VM ignores SIGCHLD.
        let _ = router.child.status(Deadline::after(LAST));
    }
    ending
}

impl<E: Erlang, M: Post<E>> Router<'_, E, M> {
    fn route(&mut self, commands: &Receiver<Command<E>>) -> Result<Ending, Errno> {
        let mut events = Events::with_capacity(256);
        let mut eager = false;
        loop {
            let block = !self.routes.has_more();
            let mut gone = false;
            self.wait(&mut events, block, eager)?;
            eager = false;
            for event in events.iter() {
                match event.source {
                    // The loop reads the commands in any case.
                    Source::Wake => {}
                    Source::Lifeline => gone = self.lifeline()?,
                    Source::Process(id, channel) => {
                        // A stream is read at the pace of the program that writes to it.
                        eager |= channel == Channel::Control;
                        self.routes.happened(id, channel, event);
                    }
                }
            }
            self.routes.go_on();
            if !self.routes.obey(commands) {
                self.stop(true);
            }
            if gone {
                return Ok(self.finish(commands));
            }
            if self.routes.is_ending && self.phase == Phase::Running {
                let since = Instant::now();
                self.phase = Phase::Leaving { since };
            }
            match self.phase {
                // The guardian takes as long as it takes to end what root left.
                Phase::Leaving { since }
                    if self.root_status.is_none() && since.elapsed() > PATIENCE =>
                {
                    self.stop(false);
                }
                Phase::Stopping { since, .. } if since.elapsed() > PATIENCE => {
                    return Ok(Ending::Late(self.leftovers()));
                }
                _ => {}
            }
        }
    }

    fn wait(&mut self, events: &mut Events, block: bool, eager: bool) -> Result<(), Errno> {
        let limit = match self.phase {
            _ if !block => Some(Duration::ZERO),
            Phase::Running => self.dismiss_idle(),
            Phase::Leaving { .. } => Some(self.wake()),
            Phase::Stopping { since, .. } => {
                let left = (since + PATIENCE).saturating_duration_since(Instant::now());
                Some(left.min(self.wake()))
            }
        };
        let poller = &self.tree.poller;
        if block
            && eager
            && self
                .eager
                .poll(|| poller.wait(events, Some(Duration::ZERO)))?
        {
            return Ok(());
        }
        poller.wait(events, limit).map(drop)
    }

    /// Continues the guardian, if it is time to. Returns how long to wait until the next time.
    fn wake(&mut self) -> Duration {
        if self.woken.elapsed() >= WAKE {
            self.woken = Instant::now();
            self.child.wake();
        }
        WAKE
    }

    /// The pids of the processes that haven't ended: the guardian, or the command that runs it, and
    /// root.
    fn leftovers(&self) -> Vec<i32> {
        let root = Some(self.root_pid).filter(|_| self.root_status.is_none());
        self.child.alive().into_iter().chain(root).collect()
    }

    /// Ends keepers that have been idle for long. Returns how long to wait until the next check.
    fn dismiss_idle(&mut self) -> Option<Duration> {
        let (surplus, next) = self.tree.pool.lock().surplus();
        for keeper in surplus {
            keeper.hang_up();
        }
        next.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// The guardian reports how root ended, and then ends itself. Returns true when it is gone.
    fn lifeline(&mut self) -> Result<bool, Errno> {
        loop {
            let mut status = [0; RootStatus::SIZE];
            let mut fds = VecDeque::new();
            let received = scm::receive(self.lifeline.as_fd(), &mut status, &mut fds);
            self.tree.closer.close(fds);
            match received.map(|received| received.bytes) {
                Ok(RootStatus::SIZE) => {
                    self.root_status = Some(RootStatus::read(status).0);
                    self.routes.lose_root();
                }
                Err(Errno::EAGAIN) => return Ok(false),
                Ok(_) | Err(_) => return Ok(true),
            }
        }
    }

    /// The whole tree has ended.
    fn finish(&mut self, commands: &Receiver<Command<E>>) -> Ending {
        let asked = self.phase.is_asked();
        self.routes.finish(commands, self.root_status, asked);
        match self.root_status {
            _ if asked => Ending::Asked,
            Some(status) => Ending::Root(status),
            None => Ending::Unknown,
        }
    }

    /// Ends the tree: the guardian sees the end of its lifeline, and every event
    /// loop that of its control socket. `asked` says whether the VM asked for it.
    fn stop(&mut self, asked: bool) {
        let before = self.phase;
        let since = match before {
            Phase::Stopping { since, .. } => since,
            Phase::Running | Phase::Leaving { .. } => Instant::now(),
        };
        let asked = asked || before.is_asked();
        self.phase = Phase::Stopping { since, asked };
        if !matches!(before, Phase::Stopping { .. }) {
            self.routes.is_ending = true;
            self.tree.close();
            let _ = shutdown(self.lifeline.as_fd().as_raw_fd(), Shutdown::Write);
            for process in self.tree.all() {
                process.hang_up();
            }
        }
    }
}
