//! `docs/raw.md` says what commands print on a running lab. Here they are run, one after the other, and must print that.
//!
//! Blocks fenced as `console` are an ordinary user's and run by one; those fenced as `console root` are run by root. What differs from one
//! run to the next (process ids, counters, indices, durations) is not compared: see [`essence`]. To renew the outputs after a change,
//! name a file that everybody may write in `UNDERLAY_MANUAL`, run the story `manual`, and take that file for the page.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::setting::{Lab, Setting, UP, said};
use crate::steps::Steps;

/// Names the file that the page is written to, with outputs as they are now.
const RENEWED: &str = "UNDERLAY_MANUAL";
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

/// Runs the commands in turn; the first that prints something else ends it, unless outputs are to be `renewed`.
async fn follow(parts: &mut [Part<'_>], lab: &Lab<'_>, is_root: bool, renewed: bool) -> Result<()> {
    let words = lab.defaults();
    let mut count = 0;
    for part in parts {
        let Part::Command(command) = part else {
            continue;
        };
        if command.by_root != is_root {
            continue;
        }
        count += 1;
        let script = translated(&command.typed.join("\n"), &words, Way::ToLab);
        let output = lab.shell(&script).await?;
        let now = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let now: Vec<String> = translated(&now, &words, Way::ToPage)
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        if renewed {
            command.printed = now;
            continue;
        }
        let at = format!(
            "docs/raw.md:{}: $ {}",
            command.line,
            command.typed.join(" ")
        );
        let (wanted, got) = (essence(&command.printed), essence(&now));
        ensure!(
            wanted == got,
            "{at}\nthe page says:\n{}\nit is:\n{}\n({})",
            command.printed.join("\n"),
            now.join("\n"),
            said(&output).lines().next().unwrap_or_default()
        );
    }
    ensure!(
        count > 0 || renewed,
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

/// What must be the same in every run: words, addresses and names are; whole numbers that stand alone (process ids, counters, inodes),
/// interface indices (`eth0@if12`), durations (`340ms`, `1.2 s`) and the width of columns are not.
fn essence(lines: &[String]) -> Vec<String> {
    let word = |word: &str| {
        let (head, tail) = match word.split_once("@if") {
            Some((link, index)) => (format!("{link}@if"), index),
            None => (String::new(), word),
        };
        let core = tail.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_figure = core.starts_with(|c: char| c.is_ascii_digit())
            && core
                .trim_end_matches("ms")
                .trim_end_matches('s')
                .chars()
                .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'm' | 'h' | 'd'))
            && core.matches('.').count() < 3;
        if is_figure && !core.is_empty() {
            head + &tail.replace(core, "0")
        } else if let (Some(open), true) = (tail.find(":["), tail.ends_with(']')) {
            // A namespace as /proc shows it, net:[4026532281].
            head + &tail[..open]
        } else {
            head + tail
        }
    };
    lines
        .iter()
        .map(|line| {
            line.split_whitespace()
                .map(word)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

/// Where `docs/raw.md` is in the checkout, to be copied beside the Compose file.
pub(crate) fn page(workspace: &Path) -> Result<PathBuf> {
    let page = workspace.join("docs/raw.md");
    ensure!(page.exists(), "{} is missing", page.display());
    page.canonicalize().context("docs/raw.md")
}
