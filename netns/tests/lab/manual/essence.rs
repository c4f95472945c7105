//! Which figures of a printed line differ from one run to the next. All the others are what the page teaches: a port, a limit, a
//! capability set, an exit code.

use anyhow::{Result, ensure};

/// What stands before a figure that the kernel, or the clock, hands out anew: an interface's index, what a rule has counted, a
/// namespace's inode, how long something took.
const BEFORE: [&str; 5] = ["@if", "packets ", "bytes ", ":[", " after "];

/// Lines without such figures. A line that had one may be filled up to a column, whose width is then not compared either.
pub(super) fn essence(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| essential(line)).collect()
}

fn essential(line: &str) -> String {
    let blank = |line: &str, before: &str| {
        let mut pieces = line.split(before);
        let first = pieces.next().unwrap_or_default().to_owned();
        pieces.fold(first, |text, piece| {
            let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
            let figure = if rest.len() < piece.len() { "#" } else { "" };
            text + before + figure + rest
        })
    };
    let blanked = BEFORE
        .iter()
        .fold(line.to_owned(), |line, before| blank(&line, before));
    if blanked == line {
        return blanked;
    }
    blanked.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Lines that must be told apart, and such that must not.
pub(super) fn is_strict() -> Result<()> {
    for (page, other) in [
        ("tcp dport 5432 ct state new", "tcp dport 22 ct state new"),
        (
            "counter packets 3 bytes 180 accept",
            "counter packets 3 bytes 180 drop",
        ),
        ("Seccomp:\t2", "Seccomp:\t0"),
        ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
        ("CapEff:\t0000000000000000", "CapEff:\t0000000000000400"),
        ("net.ipv4.ip_forward = 1", "net.ipv4.ip_forward = 0"),
        ("proto static metric 9999", "proto static metric 1"),
        ("\"memory_limit\": 134217728", "\"memory_limit\": 268435456"),
        ("134217728", "max"),
        ("203.0.113.0/24 dev eth0", "203.0.113.0/25 dev eth0"),
        ("eth0@if9 UP 172.21.0.129/24", "eth0@if9 UP 172.21.0.130/24"),
        ("1", "2"),
    ] {
        ensure!(
            essential(page) != essential(other),
            "{page} is taken for {other}"
        );
    }
    for (page, now) in [
        ("eth0@if9         UP", "eth0@if12        UP"),
        (
            "counter packets 1 bytes 60 accept",
            "counter packets 12 bytes 720 accept",
        ),
        ("net -> net:[4026532600]", "net -> net:[4026532462]"),
        (
            "underlay is down after 0.6 s: all",
            "underlay is down after 12.1 s: all",
        ),
    ] {
        ensure!(
            essential(page) == essential(now),
            "{page} is not taken for {now}"
        );
    }
    Ok(())
}
