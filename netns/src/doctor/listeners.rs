//! Who listens on a port of this host, as far as the caller may see.

use std::fmt;
use std::fs;

use serde::Serialize;

/// A program that listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// Its name and process number; none when it belongs to somebody else and the caller is not root.
    pub process: Option<(String, u32)>,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some((name, pid)) => write!(f, "{name} (process {pid})"),
            None => f.write_str("another user's program"),
        }
    }
}

/// Who listens on TCP port `port`, on any address of either family; none when nobody does.
#[must_use]
pub fn listener(port: u16) -> Option<Listener> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inode = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| listening(&table, port))?;
    Some(Listener {
        process: holder(inode),
    })
}

/// The inode of the socket that listens on `port`, from the text of `/proc/net/tcp` (proc_net_tcp in the kernel's documentation): the
/// second column is address:port in hexadecimal, the fourth the state, 0A being LISTEN, the tenth the inode.
fn listening(table: &str, port: u16) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace();
        let local = columns.nth(1)?;
        let state = columns.nth(1)?;
        let inode = columns.nth(5)?;
        let local_port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        (local_port == port && state == "0A").then(|| inode.parse().ok())?
    })
}

/// The process that holds the socket open.
fn holder(inode: u64) -> Option<(String, u32)> {
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = |file: fs::DirEntry| {
            fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        };
        if files.flatten().any(holds) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((name.trim().to_owned(), pid));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_itself() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = listener(socket.local_addr().unwrap().port()).unwrap();
        assert_eq!(found.process.unwrap().1, std::process::id());
    }

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:1F90 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 11 1\n   \
             1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1\n";
        assert_eq!(listening(table, 8080), Some(22));
        assert_eq!(listening(table, 80), None);
    }
}
