//! The report for people: groups, aligned, within 80 columns.

use std::io::{self, Write};

use super::check::{Check, State};
use crate::columns::{paragraph, shortened};

/// Most columns of a check's name: a network's may be 63 characters long, and what was found is to have room beside it.
const NAME: usize = 28;

/// Writes it.
pub(super) fn table(checks: &[Check], out: &mut impl Write) -> io::Result<()> {
    let width = checks
        .iter()
        .map(|check| check.name.chars().count())
        .max()
        .unwrap_or(0)
        .min(NAME);
    let mut group = None;
    for check in checks {
        if group != Some(check.group) {
            let gap = if group.is_some() { "\n" } else { "" };
            writeln!(out, "{gap}{}", check.group.title())?;
            group = Some(check.group);
        }
        let state = match check.state {
            State::Ok => "ok",
            State::Note => "note",
            State::Unknown => "unknown",
            State::Missing => "MISSING",
        };
        let head = format!("  {state:7}  {:width$}  ", shortened(&check.name, width));
        write!(out, "{}", paragraph(&head, &check.found))?;
        if !check.remedy.is_empty() {
            let head = format!("{:1$}-> ", "", head.chars().count());
            write!(out, "{}", paragraph(&head, &check.remedy))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::check::Group;
    use super::*;
    use crate::columns::WIDTH;

    #[test]
    fn is_grouped_and_fits() {
        let checks = [
            Check::ok(Group::Kernel, "version", "6.1"),
            Check::missing(Group::Programs, "nftables", "no nft ".repeat(12))
                .packages(&["nftables"]),
        ];
        let mut text = Vec::new();
        table(&checks, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(
            text.starts_with(
                "Kernel\n  ok       version   6.1\n\nPrograms\n  MISSING  nftables  no nft no nft"
            ),
            "{text}"
        );
        assert!(
            text.ends_with("\n                     -> apt-get install nftables\n"),
            "{text}"
        );
    }

    #[test]
    fn a_long_name_leaves_room_for_what_was_found() {
        let name = format!("network {}-12", "inventory".repeat(7));
        let found = "10.0.0.0/24 meets this host's 10.0.0.0/8 on eth0";
        let checks = [Check::note(Group::Kernel, &name, found).remedy("another prefix")];
        let mut text = Vec::new();
        table(&checks, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(
            text.lines().all(|line| line.chars().count() <= WIDTH),
            "{text}"
        );
        assert!(text.contains("  note     network inven"), "{text}");
        assert!(text.contains("-12  10.0.0.0/24 meets"), "{text}");
    }
}
