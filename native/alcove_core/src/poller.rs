//! What the router waits for: every descriptor of a tree, edge-triggered.
//!
//! The poller always reports the end of a connection, whatever else it is asked to report.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod epoll;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use epoll::{Events, Poller};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod kqueue;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub use kqueue::{Events, Poller};

mod event;
pub use event::{Channel, Event, Interest, Source};
