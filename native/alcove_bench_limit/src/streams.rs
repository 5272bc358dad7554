//! Bytes through pipes, as fast as plain loops move them.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// What is read and written at a time.
const PIECE: usize = 64 * 1024;

/// Runs a program that writes so many bytes, and reads them: in how many
/// nanoseconds.
pub fn read(bytes: usize, program: &[&str]) -> std::io::Result<Vec<u64>> {
    let mut buffer = vec![0; PIECE];
    let start = Instant::now();
    let mut child = command(program)?
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdout = child.stdout.take().ok_or_else(no_pipe)?;
    let mut left = bytes;
    while left > 0 {
        let n = stdout.read(&mut buffer)?;
        if n == 0 {
            return Err(std::io::Error::other("the program wrote too little"));
        }
        left -= n.min(left);
    }
    let took = start.elapsed();
    drop(stdout);
    child.wait()?;
    Ok(vec![took.as_nanos() as u64])
}

/// Runs a shell's command and writes so many bytes to it, until it has ended: in
/// how many nanoseconds.
pub fn write(bytes: usize, script: &[&str]) -> std::io::Result<Vec<u64>> {
    let buffer = vec![b'x'; PIECE];
    let start = Instant::now();
    let mut child = Command::new("sh")
        .args(["-c", &script.join(" ")])
        .stdin(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or_else(no_pipe)?;
    let mut left = bytes;
    while left > 0 {
        let n = stdin.write(&buffer[..PIECE.min(left)])?;
        left -= n;
    }
    drop(stdin);
    ended(&mut child)?;
    Ok(vec![start.elapsed().as_nanos() as u64])
}

/// Runs a program, writes so many bytes to it and reads as many: in how many
/// nanoseconds.
pub fn echo(bytes: usize, program: &[&str]) -> std::io::Result<Vec<u64>> {
    let (out, mut back) = (vec![b'x'; PIECE], vec![0; PIECE]);
    let start = Instant::now();
    let mut child = command(program)?
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().ok_or_else(no_pipe)?;
    let mut stdout = child.stdout.take().ok_or_else(no_pipe)?;
    fcntl(&stdin, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let (mut unsent, mut unread) = (bytes, bytes);
    while unread > 0 {
        let wanted = if unsent > 0 {
            PollFlags::POLLOUT
        } else {
            PollFlags::empty()
        };
        let mut fds = [
            PollFd::new(stdout.as_fd(), PollFlags::POLLIN),
            PollFd::new(stdin.as_fd(), wanted),
        ];
        poll(&mut fds, PollTimeout::NONE)?;
        let [readable, writable] = fds.map(|fd| fd.any() == Some(true));
        if readable {
            let n = stdout.read(&mut back)?;
            if n == 0 {
                return Err(std::io::Error::other("the program wrote too little"));
            }
            unread -= n.min(unread);
        }
        if writable && unsent > 0 {
            unsent -= stdin.write(&out[..PIECE.min(unsent)])?;
        }
    }
    drop(stdin);
    ended(&mut child)?;
    Ok(vec![start.elapsed().as_nanos() as u64])
}

fn command(program: &[&str]) -> std::io::Result<Command> {
    let (name, args) = program.split_first().ok_or_else(no_program)?;
    let mut command = Command::new(name);
    command.args(args);
    Ok(command)
}

fn ended(child: &mut Child) -> std::io::Result<()> {
    if child.wait()?.success() {
        Ok(())
    } else {
        Err(std::io::Error::other("the program failed"))
    }
}

fn no_pipe() -> std::io::Error {
    std::io::Error::other("no pipe to the program")
}

fn no_program() -> std::io::Error {
    std::io::Error::other("no program is named")
}
