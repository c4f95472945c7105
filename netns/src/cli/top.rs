//! `top`: the processes of each instance.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use clap::Args;
use nix::unistd::{Uid, User};

use super::args::Global;
use super::failure::Failure;
use super::terminal::{exact_columns, out};
use super::{project, ps};
use crate::columns::{cut, table};
use crate::lab::processes::{self, Process, TICKS};

/// `top`
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  netns-setup top
  netns-setup top postgres product-service-2

PID and PPID are the host's, as for ps, kill and nsenter. TIME is processor
time. On a terminal long commands are cut; through a pipe they are whole.")]
pub(super) struct Top {
    /// Services or instances [default: all]
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

pub(super) fn run(global: &Global, top: &Top) -> Result<u8, Failure> {
    let state = project::find_up(global)?;
    let status = ps::with_one_offs(ps::status(&state)?);
    let chosen = ps::chosen(&status, &top.services)?;
    let all = processes::by_namespace();
    let up_for = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let now = hundredths(&up_for).unwrap_or_default();
    let width = exact_columns();
    let mut names = BTreeMap::new();
    let mut text = String::new();
    for instance in chosen {
        let Some(first) = instance.pid else { continue };
        let members = processes::namespace(first).and_then(|namespace| all.get(&namespace));
        let rows: Vec<Vec<String>> = members
            .into_iter()
            .flatten()
            .filter_map(|pid| row(&Process::read(*pid)?, now, &mut names))
            .collect();
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{}\n", instance.name));
        let heads = ["UID", "PID", "PPID", "ELAPSED", "TTY", "TIME", "CMD"];
        for line in table(&heads, &[1, 2, 3, 5], &rows).lines() {
            text.push_str(&format!("{}\n", cut(line, width)));
        }
    }
    out(&text)?;
    Ok(0)
}

fn row(process: &Process, now: u64, names: &mut BTreeMap<u32, String>) -> Option<Vec<String>> {
    let folder = format!("/proc/{}", process.pid);
    let uid = fs::metadata(&folder).ok()?.uid();
    let user = names.entry(uid).or_insert_with(|| {
        let known = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        known.map_or_else(|| uid.to_string(), |user| user.name)
    });
    let command = fs::read(format!("{folder}/cmdline")).unwrap_or_default();
    let mut command = shown(&command);
    if command.is_empty() {
        let name = fs::read_to_string(format!("{folder}/comm")).unwrap_or_default();
        command = format!("[{}]", name.trim_end());
    }
    Some(vec![
        user.clone(),
        process.pid.to_string(),
        process.parent.to_string(),
        clock(now.saturating_sub(process.started) / TICKS),
        terminal(process.terminal),
        clock(process.ticks / TICKS),
        command,
    ])
}

/// Words with spaces between them; what would steer the terminal is shown as a question mark.
fn shown(command: &[u8]) -> String {
    String::from_utf8_lossy(command)
        .trim_end_matches('\0')
        .chars()
        .map(|character| match character {
            '\0' => ' ',
            control if control.is_control() => '?',
            other => other,
        })
        .collect()
}

/// `pts/3` for the device number of a pseudoterminal (major numbers 136 to 143; `proc_pid_stat(5)` on how the number is packed).
fn terminal(device: i32) -> String {
    let device = device.cast_unsigned();
    let (major, minor) = (
        (device >> 8) & 0xfff,
        (device & 0xff) | ((device >> 12) & 0xf_ff00),
    );
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        _ => "?".to_owned(),
    }
}

/// `00:01:09`, or `2-03:04:05` with days, as `ps` writes it.
fn clock(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let time = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    if days > 0 {
        format!("{days}-{time}")
    } else {
        time
    }
}

/// The first figure of `/proc/uptime`, in hundredths of a second, which is what a tick is.
fn hundredths(uptime: &str) -> Option<u64> {
    let (seconds, hundredths) = uptime.split_whitespace().next()?.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * TICKS + hundredths.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_ps_does() {
        assert_eq!(
            (clock(69).as_str(), clock(183_845).as_str()),
            ("00:01:09", "2-03:04:05")
        );
        assert_eq!(
            (terminal(34_819).as_str(), terminal(0).as_str()),
            ("pts/3", "?")
        );
        assert_eq!(hundredths("12.34 5.6\n"), Some(1234));
    }

    #[test]
    fn a_command_cannot_steer_the_terminal() {
        assert_eq!(shown(b"sh\0-c\0echo \x1b[2J\n\0"), "sh -c echo ?[2J?");
    }
}
