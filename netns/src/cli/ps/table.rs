//! The instances as a table: on a terminal no wider than that.

use super::ports;
use crate::cli::terminal::{Paint, duration};
use crate::cli::until;
use crate::columns::{table, width, within};
use crate::lab::protocol::{InstanceState, InstanceStatus, Status};

const HEADS: [&str; 7] = [
    "NAME", "STATE", "ADDRESS", "PID", "UPTIME", "RESTARTS", "PORTS",
];
const PID: usize = 3;
const RESTARTS: usize = 5;
/// Columns of numbers.
const NUMBERS: [usize; 3] = [PID, 4, RESTARTS];

/// The status as a table of no more than so many columns. Where there is no room, it goes without restarts, if there were none, then
/// without process numbers; then ports after the first are counted, and at last names shortened.
pub(super) fn shown(status: &Status, columns: usize, paint: Paint) -> String {
    if let Some(held) = &status.held {
        return until::shown(held);
    }
    let calm = status.instances.iter().all(|one| one.restarts == 0);
    let least: &[usize] = if calm { &[RESTARTS] } else { &[] };
    let without_pids = [least, &[PID]].concat();
    let rows = |briefly: bool| -> Vec<Vec<String>> {
        let instances = status.instances.iter();
        let row = |instance| row(status, instance, briefly, paint);
        instances.map(row).collect()
    };
    let (whole, brief) = (rows(false), rows(true));
    let forms: [(&[usize], _); 5] = [
        (&[], &whole),
        (least, &whole),
        (&without_pids, &whole),
        (least, &brief),
        (&without_pids, &brief),
    ];
    let mut last = String::new();
    for (left_out, rows) in forms {
        let (heads, right, rows) = without(left_out, rows);
        let text = table(&heads, &right, &rows);
        if width(&text) <= columns {
            return text;
        }
        last = within(columns, &heads, &right, &rows);
    }
    last
}

/// Heads, columns of numbers, and rows, without some columns.
fn without(
    left_out: &[usize],
    rows: &[Vec<String>],
) -> (Vec<&'static str>, Vec<usize>, Vec<Vec<String>>) {
    let kept: Vec<usize> = (0..HEADS.len())
        .filter(|column| !left_out.contains(column))
        .collect();
    let right = (0..kept.len())
        .filter(|place| NUMBERS.contains(&kept[*place]))
        .collect();
    let cells = |row: &Vec<String>| kept.iter().map(|column| row[*column].clone()).collect();
    let heads = kept.iter().map(|column| HEADS[*column]).collect();
    (heads, right, rows.iter().map(cells).collect())
}

fn row(status: &Status, instance: &InstanceStatus, briefly: bool, paint: Paint) -> Vec<String> {
    let dash = || "-".to_owned();
    let published = ports::of(status, &instance.service);
    let is_one_off = instance.index == 0; // nobody is led to it
    vec![
        instance.name.clone(),
        state(paint, instance),
        instance
            .address
            .map_or_else(dash, |address| address.to_string()),
        instance.pid.map_or_else(dash, |pid| pid.to_string()),
        instance.uptime_ms.map_or_else(dash, duration),
        instance.restarts.to_string(),
        // Of what does not run nothing answers.
        match (instance.uptime_ms, briefly) {
            _ if is_one_off => String::new(),
            (None, _) => String::new(),
            (Some(_), true) => ports::brief(published),
            (Some(_), false) => ports::whole(published),
        },
    ]
}

fn state(paint: Paint, instance: &InstanceStatus) -> String {
    let word = match (instance.state, instance.exit_code) {
        (InstanceState::Restarting | InstanceState::Failed, _) if instance.oom_killed => {
            "oom-killed".to_owned()
        }
        (InstanceState::Restarting, _) if instance.crash_loop => "crash loop".to_owned(),
        (InstanceState::Failed, Some(code)) => format!("failed ({code})"),
        (state, _) => state.word().to_owned(),
    };
    match instance.state {
        InstanceState::Healthy | InstanceState::Running => paint.good(&word),
        InstanceState::Failed | InstanceState::Unhealthy | InstanceState::Restarting => {
            paint.bad(&word)
        }
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::protocol::PublishedPort;

    /// The shop's gateway with its three ports, a database, and a one-shot that has ended.
    fn shop() -> Status {
        let instance = |service: &str, state, uptime_ms: Option<u64>| InstanceStatus {
            name: format!("{service}-1"),
            service: service.to_owned(),
            index: 1,
            state,
            health: "none".to_owned(),
            address: Some([172, 20, 0, 10].into()),
            lab_pid: None,
            pid: uptime_ms.map(|_| 23_152),
            uptime_ms,
            restarts: 0,
            exit_code: None,
            oom_killed: false,
            limits: Default::default(),
            throttled_ns: None,
            oom_kills: None,
            crash_loop: false,
            tail: Vec::new(),
        };
        let port = |host_ip: Option<[u8; 4]>, host_port, target_port| PublishedPort {
            host_ip: host_ip.map(Into::into),
            host_port,
            service: "api-gateway".to_owned(),
            target_port,
        };
        Status {
            project: "shop".to_owned(),
            pid: 1,
            uptime_ms: 0,
            network_ms: 0.0,
            ready_ms: None,
            stopping: false,
            unenforced: None,
            disk_full: false,
            held: None,
            files: Vec::new(),
            published: vec![
                port(None, 8080, 3000),
                port(None, 3000, 3000),
                port(Some([127, 0, 0, 1]), 3001, 3001),
            ],
            uplink: None,
            one_offs: Vec::new(),
            instances: vec![
                instance("api-gateway", InstanceState::Healthy, Some(346_000)),
                instance("service-registry", InstanceState::Healthy, Some(346_000)),
                instance("secrets", InstanceState::Completed, None),
            ],
        }
    }

    fn lines(status: &Status, columns: usize) -> Vec<String> {
        let text = shown(status, columns, Paint::none());
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for line in &lines {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
        lines
    }

    #[test]
    fn a_table_has_every_column_where_there_is_room() {
        let lines = lines(&shop(), usize::MAX);
        assert_eq!(
            lines,
            [
                "NAME                STATE      ADDRESS        PID  UPTIME  RESTARTS  PORTS",
                "api-gateway-1       healthy    172.20.0.10  23152   5m46s         0  8080->3000/tcp, 3000->3000/tcp, 127.0.0.1:3001->3001/tcp",
                "service-registry-1  healthy    172.20.0.10  23152   5m46s         0",
                "secrets-1           completed  172.20.0.10      -       -         0",
            ]
        );
    }

    #[test]
    fn in_80_columns_ports_are_counted_before_names_are_shortened() {
        let mut shop = shop();
        shop.instances.truncate(2);
        let of_80 = lines(&shop, 80);
        assert_eq!(
            of_80[..2],
            [
                "NAME                STATE    ADDRESS        PID  UPTIME  PORTS",
                "api-gateway-1       healthy  172.20.0.10  23152   5m46s  8080->3000/tcp, +2 more"
            ]
        );
        // Who was started again is told, rather than by which number it is known.
        shop.instances[1].restarts = 2;
        let of_80 = lines(&shop, 80);
        assert!(
            of_80[0].ends_with("RESTARTS  PORTS") && !of_80[0].contains("PID"),
            "{of_80:#?}"
        );
        assert!(
            of_80[1].ends_with(" 0  8080->3000/tcp, +2 more"),
            "{of_80:#?}"
        );
        assert!(of_80[2].starts_with("service-re"), "{of_80:#?}");
        assert!(lines(&shop, 120).concat().contains(", 127.0.0.1:3001"));
    }

    #[test]
    fn who_has_failed_says_with_which_exit_code() {
        let mut shop = shop();
        let failed = &mut shop.instances[2];
        failed.exit_code = Some(3);
        assert_eq!(state(Paint::none(), failed), "completed");
        failed.state = InstanceState::Failed;
        assert_eq!(state(Paint::none(), failed), "failed (3)");
        failed.oom_killed = true;
        assert_eq!(state(Paint::none(), failed), "oom-killed");
    }

    #[test]
    fn a_long_name_yields_to_a_port() {
        let mut shop = shop();
        shop.instances[0].name = format!("{}-12", "x".repeat(60));
        let of_80 = lines(&shop, 80);
        assert!(of_80[1].contains("xxx-12  healthy"), "{of_80:#?}");
        assert!(
            of_80[1].ends_with("  8080->3000/tcp, +2 more"),
            "{of_80:#?}"
        );
    }
}
