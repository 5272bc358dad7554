//! The claim of an Erlang process to a program.

use std::sync::Arc;

use crate::poller::Poller;
use crate::sync::Mutex;
use alcove_proto::keep::{Action, Order};

/// A keeper, as far as a claim has to do with it.
pub trait Keeper: Send + Sync {
    /// Sends it an order that has no answer, if it still takes orders.
    fn order(&self, poller: &Poller, order: Order);
}

/// The claim of an Erlang process to a program, from its request until the program is over.
pub struct Claim {
    /// Watches the channels of the keeper.
    poller: Arc<Poller>,
    /// How far the request is.
    stage: Mutex<Stage>,
    /// The signal that ends the program, and the milliseconds until SIGKILL.
    end: (u8, u32),
}

/// How far a request is.
enum Stage {
    /// A keeper is being forked.
    Queued,
    /// The keeper has the request, by this number, or runs the program.
    Given(Arc<dyn Keeper>, u32),
    /// The process that asked is gone.
    Abandoned,
    /// The program is over, or never ran.
    Done,
}

impl Claim {
    /// A claim to a program that no keeper has yet. A signal is to end it, and SIGKILL so many
    /// milliseconds later.
    pub fn new(poller: &Arc<Poller>, signal: u8, grace: u32) -> Arc<Self> {
        Arc::new(Claim {
            poller: Arc::clone(poller),
            stage: Mutex::new(Stage::Queued),
            end: (signal, grace),
        })
    }

    /// The keeper is about to get the request. False when the request isn't wanted any more.
    pub fn give(&self, keeper: Arc<dyn Keeper>, id: u32) -> bool {
        let mut stage = self.stage.lock();
        let wanted = matches!(*stage, Stage::Queued);
        if wanted {
            *stage = Stage::Given(keeper, id);
        }
        wanted
    }

    /// The program has ended, or never ran.
    pub fn done(&self) {
        *self.stage.lock() = Stage::Done;
    }

    /// Whether the program is over, so that it needn't be ended with the process that asked.
    pub fn is_done(&self) -> bool {
        matches!(*self.stage.lock(), Stage::Done)
    }

    /// The process that asked is gone: ends the program.
    pub fn abandon(&self) {
        let before = std::mem::replace(&mut *self.stage.lock(), Stage::Abandoned);
        if let Stage::Given(keeper, of) = before {
            let (signal, grace) = self.end;
            let action = Action::End { signal, grace };
            keeper.order(&self.poller, Order { of, action });
        }
    }
}
