//! Processes that keep the processors busy.

use crate::sys;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

/// Processes that compute, for as long as this lives.
#[derive(Default)]
pub struct Crowd(Vec<Pid>);

impl Crowd {
    /// Adds some.
    pub fn grow(&mut self, n: usize) -> std::io::Result<Vec<u64>> {
        let parent = nix::unistd::getpid();
        for _ in 0..n {
            self.0.push(sys::fork(|| {
                // Whoever is left alone goes.
                while nix::unistd::getppid() == parent {
                    for i in 0..1_000_000_u64 {
                        std::hint::black_box(i);
                    }
                }
                0
            })?);
        }
        Ok(vec![self.0.len() as u64])
    }

    /// Ends them.
    pub fn calm(&mut self) -> std::io::Result<Vec<u64>> {
        let pids = std::mem::take(&mut self.0);
        for pid in &pids {
            kill(*pid, Signal::SIGKILL)?;
        }
        for pid in &pids {
            waitpid(*pid, None)?;
        }
        Ok(vec![pids.len() as u64])
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // What can't be killed now notices by itself.
        let _ = self.calm();
    }
}
