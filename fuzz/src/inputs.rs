//! Inputs for a target without a fuzzer: the kept corpus, and inputs that are made of it by a
//! generator that starts the same each time.
//!
//! It finds less than libFuzzer, which looks where an input leads; it runs everywhere. For a
//! few seconds, or for as many as `ALCOVE_FUZZ_SECONDS` says.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The longest input.
const LONGEST: usize = 4096;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `n`; 0 for 0.
    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n.max(1)
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../fuzz/corpus", name]
        .iter()
        .collect();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files.iter().map(read).collect()
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).expect("a file of the corpus")
}

/// Changes an input in one of the ways in which formats are broken.
fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    /// Numbers at which lengths and counts go wrong.
    const EDGES: [u32; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0x0110_0000, u32::MAX];
    let at = random.below(input.len() + 1);
    match random.below(7) {
        0 => input.truncate(at),
        1 => input.insert(at, random.next() as u8),
        2 if at < input.len() => input[at] ^= 1 << random.below(8),
        3 if at < input.len() => input[at] = random.below(10) as u8,
        4 => {
            let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
            let end = (at + edge.len()).min(input.len());
            input.splice(at..end, edge);
        }
        5 => {
            let from = random.below(other.len());
            input.splice(at..at, other[from..].iter().copied());
        }
        _ => {
            let end = at + random.below(input.len() - at + 1);
            let part = input[at..end].to_vec();
            input.splice(at..at, part);
        }
    }
    input.truncate(LONGEST);
}

fn seconds(few: u64) -> u64 {
    let asked = std::env::var("ALCOVE_FUZZ_SECONDS").ok();
    asked
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(few)
}

/// Runs a target for some seconds, unless the environment says for how many.
pub fn hold(name: &str, target: fn(&[u8]), few: u64) {
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    corpus.iter().for_each(|input| target(input));
    let mut random = Random(0x616c_636f_7665);
    let start = Instant::now();
    let mut inputs = 0_u64;
    while start.elapsed() < Duration::from_secs(seconds(few)) {
        for _ in 0..100 {
            let mut input = corpus[random.below(corpus.len())].clone();
            let other = &corpus[random.below(corpus.len())];
            for _ in 0..=random.below(6) {
                mutate(&mut input, other, &mut random);
            }
            let result = std::panic::catch_unwind(|| target(&input));
            assert!(result.is_ok(), "{name} fails for {input:?}");
            inputs += 1;
        }
    }
    println!("{name}: {inputs} inputs");
}
