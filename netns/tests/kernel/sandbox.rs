//! What a sandbox shows. What it keeps its programs from is the story of confinement in the tests of a lab.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use netns_setup::kernel::Identity;
use netns_setup::kernel::reaper::Exit;
use netns_setup::kernel::sandbox::{Mount, MountSource};

use crate::lab::{Lab, bind};

/// Prints one `name: outcome` line a question.
const PROBE: &str = r#"
ask() { name=$1; shift; if out=$("$@" 2>&1); then echo "$name: $out"; else echo "$name: refused"; fi; }
ask uid id -u
ask gid id -g
ask user id -un
ask hostname hostname
ask blocked sh -c 'grep ^SigBlk /proc/1/status | cut -f2'
ask ignored sh -c 'grep ^SigIgn /proc/1/status | cut -f2 | tail -c 9 | sed s/^8/0/'
ask write_usr touch /usr/file
ask timers cat /proc/timer_list
ask write_dev touch /dev/file
ask tmp touch /tmp/file
ask shm touch /dev/shm/file
ask volume sh -c 'echo data >/var/lib/thing/data/file'
ask read_only touch /run/secrets/new
ask secret cat /run/secrets/own
ask nested sh -c 'cat /usr/local/etc/thing/thing.conf'
ask var_run sh -c 'touch /var/run/thing/pid'
ask planted sh -c 'cat /var/lib/thing/data/link/passwd | head -1'
ask hosts sh -c 'tail -1 /etc/hosts | cut -f2'
ask random sh -c 'head -c1 /dev/urandom | wc -c'
ask old_root sh -c 'ls -d /.old-root'
ask further_users cat /proc/sys/user/max_user_namespaces
"#;

pub(crate) fn sees_only_its_own(lab: &mut Lab) {
    let (data, secrets) = (lab.volume("data"), lab.volume("secrets"));
    fs::write(secrets.join("own"), "own secret").unwrap();
    symlink("/etc", data.join("link")).unwrap();
    let config = lab.folder.path().join("thing.conf");
    fs::write(&config, "configured").unwrap();

    let probe = lab.spec(
        &["sh", "-c", PROBE],
        vec![
            bind(&secrets, "/run/secrets", true),
            bind(&config, "/usr/local/etc/thing/thing.conf", true),
            bind(&data, "/var/lib/thing/data", false),
            Mount {
                source: MountSource::Tmpfs {
                    size: Some(1 << 20),
                    mode: None,
                },
                target: "/var/run/thing".into(),
                read_only: false,
            },
        ],
    );
    let (text, exit) = lab.start(&probe).unwrap().finish();
    assert_eq!(exit, Exit::Code(0), "{text}");

    for (question, answer) in [
        ("uid", "65532"),
        ("gid", "65532"),
        ("user", "nonroot"),
        ("hostname", "box-1"),
        ("blocked", "0000000000000000"),
        // The lower half, less signal 32, which the C library ignores for itself in what it spawns.
        ("ignored", "00000000"),
        ("write_usr", "refused"),
        ("timers", ""),
        ("write_dev", "refused"),
        ("tmp", ""),
        ("shm", ""),
        ("volume", ""),
        ("read_only", "refused"),
        ("secret", "own secret"),
        ("nested", "configured"),
        ("var_run", ""),
        ("planted", "root:x:0:0:root:/:/usr/sbin/nologin"),
        ("hosts", "other"),
        ("random", "1"),
        ("old_root", "refused"),
        // What the filter refuses already, the kernel would too.
        ("further_users", "0"),
    ] {
        assert!(
            text.lines()
                .any(|line| line == format!("{question}: {answer}")),
            "{question} should be {answer:?} in\n{text}"
        );
    }
    let (open, _) = lab
        .start(&lab.spec(&["ls", "/proc/self/fd"], vec![]))
        .unwrap()
        .finish();
    assert_eq!(
        open, "0\n1\n2\n3\n",
        "its own three, and the one that ls reads with"
    );
    let owner = fs::metadata(data.join("file")).unwrap().uid();
    assert_eq!(owner, lab.identity.sandbox_owner());
}

pub(crate) fn further_programs(lab: &mut Lab) {
    let running = lab.start(&lab.spec(&["sleep", "60"], vec![])).unwrap();
    let (text, exit) = lab
        .exec(&running, &["/bin/sh", "-c", "id -u; cat /proc/1/comm; grep -h ^CapBnd /proc/self/status; unshare -U true || exit 3"])
        .unwrap()
        .finish();
    assert_eq!(exit, Exit::Code(3), "{text}");
    assert!(
        text.starts_with("65532\nsleep\nCapBnd:\t0000000000000000\n"),
        "{text}"
    );

    let missing = lab.exec(&running, &["/no/such"]).err().unwrap();
    assert!(
        missing
            .to_string()
            .starts_with("probe: execute /no/such: No such file or directory (ENOENT); "),
        "{missing}"
    );

    nix::sys::signal::kill(running.pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    assert_eq!(running.end(), Exit::Signal(9));
}

pub(crate) fn failures_name_the_step(lab: &mut Lab) {
    for (argv, mounts, expected) in [
        (
            vec!["no-such-program"],
            vec![],
            "box-1: execute no-such-program: No such file or directory (ENOENT); it, or its interpreter",
        ),
        (
            vec!["/etc/hosts"],
            vec![],
            "box-1: execute /etc/hosts: Permission denied (EACCES); it must be readable and executable by user 65532: chmod a+rx",
        ),
        (
            vec!["true"],
            vec![bind(Path::new("/no/such/volume"), "/data", false)],
            "box-1: open /no/such/volume to mount it: No such file or directory (ENOENT)",
        ),
        (
            vec!["true"],
            vec![bind(Path::new("/tmp"), "/run/../etc", false)],
            "box-1: mount /run/../etc: the target must be an absolute path",
        ),
    ] {
        let failure = lab.start(&lab.spec(&argv, mounts)).err().unwrap();
        assert!(failure.to_string().starts_with(expected), "{failure}");
    }
    assert!(matches!(lab.identity, Identity::Root | Identity::Rootless));
}

/// PostgreSQL asks more of its surroundings than most: a named user, shared memory, semaphores, its own data folder, a clock.
pub(crate) fn postgresql_runs(lab: &mut Lab) {
    let data = lab.volume("postgres");
    let script = r#"
        PATH=$(ls -d /usr/lib/postgresql/*/bin | tail -1):$PATH
        initdb --no-sync -D "$PGDATA" -U postgres --auth=trust >/tmp/log 2>&1 || { cat /tmp/log; exit 1; }
        echo "select 40 + 2;" | postgres --single -j -D "$PGDATA" postgres 2>/dev/null | grep -ao '"42"'
    "#;
    let mut server = lab.spec(
        &["sh", "-c", script],
        vec![bind(&data, "/var/lib/postgresql/data", false)],
    );
    server
        .env
        .insert("PGDATA".into(), "/var/lib/postgresql/data".into());
    let (text, exit) = lab.start(&server).unwrap().finish();
    assert_eq!((text.trim(), exit), ("\"42\"", Exit::Code(0)));
    let version = fs::metadata(data.join("PG_VERSION")).unwrap();
    assert_eq!(version.uid(), lab.identity.sandbox_owner());
}
