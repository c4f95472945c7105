//! What limits did to the instances, in lines beneath a table of figures; on standard error, as those of [`remarks`](super::remarks) are.

use super::terminal::counted;
use crate::columns::paragraph;
use crate::compose::byte_size;
use crate::lab::usage::Usage;

/// One line for each instance that its limits have been felt by, and why limits are not enforced if they are not.
pub(super) fn beneath<'a>(
    instances: impl Iterator<Item = (&'a str, &'a Usage)>,
    unenforced: Option<&str>,
) -> String {
    let mut text: String = instances
        .map(|(name, usage)| {
            waited(name, usage.throttled_ns, usage.cpu_limit)
                + &killed(name, usage.oom_kills, usage.memory_limit)
        })
        .collect();
    if let Some(why) = unenforced {
        text.push_str(&paragraph("", &format!("limits are not enforced: {why}")));
    }
    text
}

/// How long its processor limit has kept an instance from running; empty when it has not.
pub(super) fn waited(name: &str, throttled_ns: Option<u64>, cpus: Option<f64>) -> String {
    let waited = throttled_ns.filter(|waited| *waited > 0);
    let Some((waited, cpus)) = waited.zip(cpus) else {
        return String::new();
    };
    let (seconds, millis) = (waited / 1_000_000_000, waited / 1_000_000 % 1000);
    paragraph(
        "",
        &format!("{name} was held back {seconds}.{millis:03} s by cpus: {cpus}"),
    )
}

/// How often its memory limit has ended a process of an instance; empty when it has not.
pub(super) fn killed(name: &str, oom_kills: Option<u64>, memory: Option<u64>) -> String {
    let Some(kills) = oom_kills.filter(|kills| *kills > 0) else {
        return String::new();
    };
    let limit = memory.map_or_else(String::new, |limit| {
        format!(" by memory: {}", byte_size(limit))
    });
    let times = counted(
        usize::try_from(kills).unwrap_or(usize::MAX),
        "time",
        "times",
    );
    paragraph("", &format!("{name} was oom-killed {times}{limit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_felt_is_told() {
        let calm = Usage {
            cpu_limit: Some(0.5),
            throttled_ns: Some(0),
            ..Usage::default()
        };
        let busy = Usage {
            throttled_ns: Some(1_234_567_890),
            memory_limit: Some(32 << 20),
            oom_kills: Some(2),
            ..calm
        };
        assert_eq!(beneath([("calm-1", &calm)].into_iter(), None), "");
        assert_eq!(
            beneath([("busy-1", &busy)].into_iter(), Some("they are root's")),
            "busy-1 was held back 1.234 s by cpus: 0.5\nbusy-1 was oom-killed 2 times by memory: 32M\nlimits are not enforced: they are root's\n"
        );
    }
}
