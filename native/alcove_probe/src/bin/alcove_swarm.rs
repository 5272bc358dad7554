//! A swarm: so many chains of processes, of which each leaves its session, forks and exits, as
//! fast as it can. Says `on` when they run, and waits.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::process::exit;

fn main() {
    let chains = std::env::args().nth(1).and_then(|count| count.parse().ok());
    let Some(chains) = chains else {
        eprintln!("usage: alcove_swarm CHAINS");
        exit(2);
    };
    for signal in [libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: no handler runs.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    for _ in 0_u32..chains {
        // SAFETY: there is one thread.
        match unsafe { libc::fork() } {
            0 => chain(),
            -1 => exit(3),
            _ => (),
        }
    }
    // Generations come and go before anybody ends them.
    std::thread::sleep(std::time::Duration::from_millis(300));
    if writeln!(std::io::stdout(), "on").is_err() {
        exit(4);
    }
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

fn chain() -> ! {
    for fd in 0..3 {
        // SAFETY: nothing of this process writes or reads any more.
        unsafe { libc::close(fd) };
    }
    loop {
        // SAFETY: there is one thread, and nothing but these calls follows.
        unsafe {
            libc::setsid();
            match libc::fork() {
                0 => (),
                -1 => {
                    libc::usleep(100);
                }
                _ => libc::_exit(0),
            }
        }
    }
}
