//! What is printed for people: it fits 80 columns whatever the names, is coloured on a terminal and only there, and goes on by itself
//! where it is asked to.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::setting::{Lab, Setting, UP, behind, said};
use crate::terminal::{Terminal, end_of};

/// A name of 58 characters: with its number it is nearly as long as a host's may be.
const LONG: &str = "inventory-of-everything-that-is-in-the-warehouse-number-12";
/// Columns of every table.
const COLUMNS: usize = 80;
const PATIENCE: Duration = Duration::from_secs(20);

/// Writes a line ten times a second, and longer ones while it is ill.
const FILE: &str = r#"
services:
  LONG:
    entrypoint: [/bin/sh, -c, "trap 'exit 0' TERM; while :; do [ -e /tmp/ill ] && printf 'cough %0200d\\n' 7 || echo tick; sleep 0.1; done"]
    healthcheck: { test: [CMD-SHELL, "! test -e /tmp/ill"], interval: 200ms, retries: 1 }
    deploy: { replicas: 2, resources: { limits: { cpus: "0.5", memory: 64M } } }
    ports: ["127.0.0.1:${HTTP_PORT}:8000"]
    stop_grace_period: 1s
networks:
  default: { ipam: { config: [ { subnet: "${FRONTEND_PREFIX}.0/24" } ] } }
"#;

pub(crate) async fn lab(setting: &Setting) -> Result<Lab<'_>> {
    let folder = setting.folder("a-folder-with-a-name-that-no-table-has-the-room-to-show")?;
    let file = folder.join("compose.yaml");
    std::fs::write(&file, FILE.replace("LONG", LONG))?;
    let lab = Lab::new(setting, "a-lab-that-is-called-by-a-long-name", file)?;
    let output = lab.run(&UP).await?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{told}");
    let wide = told.lines().find(|line| line.chars().count() > COLUMNS);
    ensure!(wide.is_none(), "up: {wide:?} in\n{told}");
    ensure!(
        told.contains("-2  running") || told.contains("-2  healthy"),
        "instances are not told apart:\n{told}"
    );
    Ok(lab)
}

/// The tables, through a pipe and on a terminal.
pub(crate) async fn fit(lab: &Lab<'_>) -> Result<()> {
    for (argv, distinguished) in [
        (&["ps"][..], true),
        (&["ps", "--all"], true),
        (&["stats", "--no-stream"], true),
        (&["ls"], false),
        (&["ls", "--all"], false),
        (&["port", LONG, "8000"], false),
        (&["top"], false),
    ] {
        let piped = lab.expect(argv).await?;
        let shown = on_terminal(lab, argv, None).await?;
        let (plain, coloured) = (without_colours(&shown), piped.contains('\x1b'));
        ensure!(!coloured, "{argv:?} through a pipe: {piped:?}");
        // Through a pipe these show names, ports, paths and commands whole.
        let is_whole = ["ps", "ls", "top"].contains(&argv[0]);
        for (text, is_fitted) in [(&plain, true), (&piped, !is_whole)] {
            let wide = text.lines().find(|line| line.chars().count() > COLUMNS);
            ensure!(
                wide.is_none() || !is_fitted,
                "{argv:?}: {wide:?} in\n{text}"
            );
            ensure!(!text.trim().is_empty(), "{argv:?} shows nothing");
            let ends = |end: &str| {
                let cells = text
                    .lines()
                    .filter_map(|line| line.split_whitespace().next());
                cells.filter(|cell| cell.ends_with(end)).count()
            };
            ensure!(
                !distinguished || (ends("-1") == 1 && ends("-2") == 1),
                "{argv:?}: instances are not told apart:\n{text}"
            );
        }
    }
    // On a terminal, too, where that is asked for.
    let shown = on_terminal(lab, &["ps", "--no-trunc"], None).await?;
    let whole = format!("127.0.0.1:{}->8000/tcp", lab.http_port);
    ensure!(
        shown.contains(&format!("{LONG}-2")) && shown.matches(&whole).count() == 2,
        "{shown}"
    );
    // Scripts get whole names.
    let names = lab.expect(&["ps", "-q"]).await?;
    ensure!(names == format!("{LONG}-1\n{LONG}-2\n"), "{names}");
    Ok(())
}

/// Colours on a terminal, unless they are declined; nowhere else.
pub(crate) async fn colours(lab: &Lab<'_>) -> Result<()> {
    let events = ["events", "--since", "1h", "--until", "0s"];
    let logs = ["logs", "--tail", "1"];
    for argv in [&["ps"][..], &["ls"], &logs] {
        let shown = on_terminal(lab, argv, None).await?;
        ensure!(shown.contains("\x1b[3"), "{argv:?} is grey: {shown:?}");
        // By the convention of no-color.org.
        let declined = on_terminal(lab, argv, Some(("NO_COLOR", "1"))).await?;
        ensure!(
            !declined.contains('\x1b'),
            "NO_COLOR {argv:?}: {declined:?}"
        );
    }
    for argv in [&["ps"][..], &["ls"], &logs, &events] {
        let output = lab.run(argv).await?;
        let written = [output.stdout, output.stderr].concat();
        ensure!(!written.contains(&0x1b), "{argv:?} through a pipe");
    }
    let declined = on_terminal(lab, &["logs", "--tail", "1", "--no-color"], None).await?;
    ensure!(!declined.contains('\x1b'), "--no-color: {declined:?}");
    Ok(())
}

/// Of four unhealthy instances: what a script reads is the table, and nothing of it is lost on who looks.
pub(crate) async fn remarks(lab: &Lab<'_>) -> Result<()> {
    let four = format!("{LONG}=4");
    lab.expect(&["scale", &four]).await?;
    for number in 1..=4 {
        let instance = format!("{LONG}-{number}");
        let made = lab.exec(&instance, &["touch", "/tmp/ill"]).await?;
        ensure!(made.status.success(), "{}", said(&made));
    }
    let told = test_support::eventually("all four are unhealthy, and have said so", || async {
        let output = lab.run(&["ps"]).await?;
        let [table, remarks] = [output.stdout, output.stderr].map(String::from_utf8);
        let (table, remarks) = (table?, remarks?);
        ensure!(
            table.matches("unhealthy").count() == 4 && remarks.matches("  cough").count() >= 3,
            "{table}\n{remarks}"
        );
        Ok((table, remarks))
    })
    .await;
    let (table, remarks) = told?;
    ensure!(
        table.lines().count() == 5
            && table
                .lines()
                .all(|line| line.split_whitespace().count() == 7),
        "not the table alone:\n{table}"
    );
    let quoted = remarks.matches("its log:\n").count();
    ensure!(
        quoted == 3 && remarks.ends_with("... and 1 more; see `netns-setup logs SERVICE`\n"),
        "{remarks}"
    );
    let wide = remarks.lines().find(|line| line.chars().count() > COLUMNS);
    ensure!(wide.is_none(), "{wide:?} in\n{remarks}");
    // `up` shows the same of a lab that runs, apart as well.
    let up = [&UP[..], &["--no-recreate", "--scale", &four]].concat();
    let output = lab.run(&up).await?;
    let [rows, told] = [output.stdout, output.stderr].map(String::from_utf8);
    let (rows, told) = (rows?, told?);
    ensure!(
        rows.lines().count() == 5 && !rows.contains("cough"),
        "not the table alone:\n{rows}"
    );
    ensure!(told.matches("its log:\n").count() == 3, "{told}");
    Ok(())
}

/// `stats` and `logs -f` go on until they are told to stop.
pub(crate) async fn goes_on(lab: &Lab<'_>) -> Result<()> {
    let terminal = Terminal::open(24, 80)?;
    // As from a terminal: who runs this test in the background may have it ignore Ctrl-C, which is inherited.
    let mut heedful = Command::new("env");
    heedful.arg("--default-signal=INT");
    let mut stats = terminal.run(&behind(heedful, &lab.command(&["stats"])))?;
    test_support::eventually("stats is shown again, and again", || async {
        // Home, and clear what is below (ECMA-48).
        let shown = terminal.shown();
        let times = shown.matches("\x1b[H\x1b[JNAME").count();
        ensure!(times >= 3, "{times} times: {shown:?}");
        Ok(())
    })
    .await?;
    terminal.write("\x03")?;
    end_of(&mut stats).await?;

    let first = format!("{LONG}-1");
    let (mut stats, mut rows) = reading(lab, &["stats", "--json", &first])?;
    for _ in 0..3 {
        let row: Value = serde_json::from_str(&next(&mut rows).await?)?;
        ensure!(
            row["name"] == first.as_str() && row["cpu_percent"].is_f64(),
            "{row}"
        );
    }
    stats.kill().await?;

    let all = lab.expect(&["logs", "--no-log-prefix", &first]).await?;
    let two = ["logs", "-n", "2", "--no-log-prefix", &first];
    let two = lab.expect(&two).await?;
    // It may have written more between the look for the last two and their being read.
    let told = two.lines().count();
    ensure!(
        two.lines().all(|line| line == "tick") && (2..10).contains(&told),
        "{two:?}"
    );
    ensure!(all.lines().count() >= 10, "{all:?}");
    let (mut logs, mut lines) = reading(lab, &["logs", "-f", "-n", "1", &first])?;
    for _ in 0..5 {
        let line = next(&mut lines).await?;
        ensure!(line == format!("{first} | tick"), "{line:?}");
    }
    logs.kill().await?;
    Ok(())
}

fn reading(lab: &Lab<'_>, argv: &[&str]) -> Result<(Child, Lines<BufReader<ChildStdout>>)> {
    let mut command = tokio::process::Command::from(lab.command(argv));
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let output = child.stdout.take().context("its output")?;
    Ok((child, BufReader::new(output).lines()))
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<String> {
    let line = tokio::time::timeout(PATIENCE, lines.next_line());
    line.await
        .context("nothing more comes")??
        .context("it ended")
}

/// What a command shows on a terminal of 80 columns.
async fn on_terminal(
    lab: &Lab<'_>,
    argv: &[&str],
    variable: Option<(&str, &str)>,
) -> Result<String> {
    const END: &str = "that is all";
    let terminal = Terminal::open(24, 80)?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("\"$@\"; echo; echo '{END}'"), "sh"]);
    let mut command = behind(shell, &lab.command(argv));
    command.envs(variable);
    let mut child = terminal.run(&command)?;
    terminal.shows(END).await?;
    end_of(&mut child).await?;
    let shown = terminal.shown().replace('\r', "");
    Ok(shown.split(END).next().unwrap_or_default().to_owned())
}

/// Without the sequences that paint (SGR of ECMA-48).
fn without_colours(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}
