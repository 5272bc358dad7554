//! What the executable does when it isn't started as it should be: it says so on
//! one line and ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use alcove_proto::frame::{Frame, Init};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};

fn refused(stdin: Stdio, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_alcove"))
        .args(arguments)
        .stdin(stdin)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    assert!(
        line.starts_with("alcove: ") && line.ends_with('\n'),
        "{line:?}"
    );
    line
}

#[test]
fn arguments() {
    assert!(refused(Stdio::null(), &["--help"]).contains("usage"));
}

#[test]
fn no_socket() {
    assert!(refused(Stdio::null(), &[]).contains("not the socket"));
    assert!(refused(Stdio::piped(), &[]).contains("not the socket"));
}

#[test]
fn other_sockets() {
    let (datagram, _peer) = UnixDatagram::pair().unwrap();
    refused(Stdio::from(OwnedFd::from(datagram)), &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    refused(Stdio::from(OwnedFd::from(stream)), &[]);
}

#[test]
fn a_closed_channel() {
    let (control, _) = UnixStream::pair().unwrap();
    refused(Stdio::from(OwnedFd::from(control)), &[]);
}

#[test]
fn another_protocol() {
    let (control, mut ours) = UnixStream::pair().unwrap();
    ours.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    refused(Stdio::from(OwnedFd::from(control)), &[]);
}

#[test]
fn no_descriptors() {
    let (control, mut ours) = UnixStream::pair().unwrap();
    let mut bytes = Vec::new();
    Init::default().write(&mut bytes);
    ours.write_all(&bytes).unwrap();
    refused(Stdio::from(OwnedFd::from(control)), &[]);
}
