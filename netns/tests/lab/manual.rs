//! `docs/raw.md` says what commands print on a running lab. Here they are run, one after the other, and must print that.
//!
//! Blocks fenced as `console` are an ordinary user's and run by one; those fenced as `console root` are run by root. What differs from one
//! run to the next (counters, indices, inodes, durations) is not compared: see [`essence`]. Each command ends well, unless `echo $?`
//! behind it shows how it ended. To renew the outputs after a change, name a file that everybody may write in `UNDERLAY_MANUAL`, run
//! the story `manual`, and take that file for the page.

mod essence;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::setting::{Lab, Setting, UP};
use crate::steps::Steps;
use essence::essence;

/// Names the file that the page is written to, with outputs as they are now.
const RENEWED: &str = "UNDERLAY_MANUAL";
/// Prints the exit code of the command before it.
const CODE: &str = "echo $?";
/// A port of the host in the file, and the one that the gateway listens on itself, which is what commands on the page mean.
const GATEWAY: &str = "3000";
/// From the page's ports and prefixes, which are the Compose file's own, to those of the lab here, or back.
#[derive(Clone, Copy)]
enum Way {
    ToLab,
    ToPage,
}

fn translated(text: &str, words: &[(&str, String)], way: Way) -> String {
    words
        .iter()
        .fold(text.to_owned(), |text, (page, lab)| match way {
            Way::ToLab if *page == GATEWAY => text,
            Way::ToLab => text.replace(page, lab),
            Way::ToPage => text.replace(lab.as_str(), page),
        })
}

/// A piece of the page.
enum Part<'t> {
    /// A line as it stands.
    Text(&'t str),
    /// A command and what it prints.
    Command(Command),
}

struct Command {
    /// Line of the page, from 1.
    line: usize,
    by_root: bool,
    /// The lines as typed, the first behind `$ `, further ones behind `> `.
    typed: Vec<String>,
    printed: Vec<String>,
}

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    let page = setting.project().join("docs/raw.md");
    let renewed = std::env::var_os(RENEWED).map(PathBuf::from);
    // The second telling goes on with what the first has written.
    let text = renewed
        .as_ref()
        .and_then(|path| std::fs::read_to_string(path).ok())
        .filter(|text| !text.is_empty())
        .map_or_else(|| std::fs::read_to_string(&page), Ok);
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            let error = anyhow::Error::new(error).context(page.display().to_string());
            return steps.fail("the manual is there", &error);
        }
    };
    let mut parts = read(&text);
    steps
        .step(
            "only figures that differ from run to run are not compared with the page",
            async { essence::is_strict() },
        )
        .await;
    steps
        .step(
            "every command of docs/raw.md prints what the page says",
            async {
                let mut lab = Lab::new(setting, "underlay", setting.compose_file())?;
                // Root's lab shows on the host, where somebody may have these addresses.
                if !setting.is_root() {
                    lab.use_default_prefixes();
                }
                lab.expect(&UP).await?;
                let told = follow(&mut parts, &lab, setting.is_root(), renewed.is_some()).await;
                lab.expect(&["down", "--volumes"]).await?;
                told
            },
        )
        .await;
    if let Some(path) = renewed
        && let Err(error) = std::fs::write(&path, written(&parts))
    {
        steps.fail("the manual is renewed", &anyhow::Error::new(error));
    }
}

/// Runs the commands in turn, and tells of each that prints something else, or ends otherwise, unless outputs are to be `renewed`.
async fn follow(parts: &mut [Part<'_>], lab: &Lab<'_>, is_root: bool, renewed: bool) -> Result<()> {
    let words = lab.defaults();
    let mut commands: Vec<&mut Command> = parts
        .iter_mut()
        .filter_map(|part| match part {
            Part::Command(command) if command.by_root == is_root => Some(command),
            _ => None,
        })
        .collect();
    let shows_code: Vec<bool> = (1..=commands.len())
        .map(|next| {
            commands
                .get(next)
                .is_some_and(|command| command.typed == [CODE])
        })
        .collect();
    let mut code = None;
    let mut differences = Vec::new();
    for (command, shows_code) in commands.iter_mut().zip(shows_code) {
        let now: Vec<String> = if command.typed == [CODE] {
            code.take()
                .map(|code: i32| code.to_string())
                .into_iter()
                .collect()
        } else {
            let script = translated(&command.typed.join("\n"), &words, Way::ToLab);
            let output = lab.shell(&script).await?;
            code = output.status.code();
            let now = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            translated(&now, &words, Way::ToPage)
                .lines()
                .map(|line| line.trim_end().to_owned())
                .collect()
        };
        if renewed {
            command.printed = now;
            continue;
        }
        let at = format!(
            "docs/raw.md:{}: $ {}",
            command.line,
            command.typed.join(" ")
        );
        if essence(&command.printed) != essence(&now) {
            differences.push(format!(
                "{at}\nthe page says:\n{}\nit is:\n{}",
                command.printed.join("\n"),
                now.join("\n")
            ));
        }
        if !shows_code && code.is_some_and(|code| code != 0) {
            differences.push(format!(
                "{at}\nends with {code:?}, and no `{CODE}` shows it"
            ));
        }
    }
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    ensure!(
        !commands.is_empty() || renewed,
        "the page has no command for this user"
    );
    Ok(())
}

/// Splits the page.
fn read(text: &str) -> Vec<Part<'_>> {
    let mut parts: Vec<Part<'_>> = Vec::new();
    let mut block: Option<bool> = None;
    for (number, line) in text.lines().enumerate() {
        match (block, line) {
            (None, "```console") => block = Some(false),
            (None, "```console root") => block = Some(true),
            (Some(_), "```") => block = None,
            (Some(by_root), _) => {
                if let Some(typed) = line.strip_prefix("$ ") {
                    parts.push(Part::Command(Command {
                        line: number + 1,
                        by_root,
                        typed: vec![typed.to_owned()],
                        printed: Vec::new(),
                    }));
                } else if let Some(Part::Command(command)) = parts.last_mut() {
                    match line.strip_prefix("> ") {
                        Some(typed) if command.printed.is_empty() => {
                            command.typed.push(typed.to_owned());
                        }
                        _ => command.printed.push(line.to_owned()),
                    }
                }
                continue;
            }
            _ => {}
        }
        parts.push(Part::Text(line));
    }
    parts
}

/// The page again.
fn written(parts: &[Part<'_>]) -> String {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(line) => {
                let _ = writeln!(text, "{line}");
            }
            Part::Command(command) => {
                for (turn, line) in command.typed.iter().enumerate() {
                    let _ = writeln!(text, "{} {line}", if turn == 0 { "$" } else { ">" });
                }
                for line in &command.printed {
                    let _ = writeln!(text, "{line}");
                }
            }
        }
    }
    text
}

/// Where `docs/raw.md` is in the checkout, to be copied beside the Compose file.
pub(crate) fn page(workspace: &Path) -> Result<PathBuf> {
    let page = workspace.join("docs/raw.md");
    ensure!(page.exists(), "{} is missing", page.display());
    page.canonicalize().context("docs/raw.md")
}
