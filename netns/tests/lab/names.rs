//! Projects' names: they lead nowhere but to their own folder, and folders of one name are not one project.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::setting::{Lab, Setting, said};
use crate::steps::Steps;

const SERVICE: &str = "{ entrypoint: [/bin/sleep, '3600'], stop_grace_period: 100ms }";

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    steps
        .step("no name leads out of the state folder", nowhere(setting))
        .await;
    steps
        .step(
            "a folder of the same name does not make another's lab over",
            namesakes(setting),
        )
        .await;
    steps
        .step(
            "a lab with a name of its own is taken down although its file is broken",
            broken(setting),
        )
        .await;
    steps
        .step(
            "a .env names the files and the project, and the environment wins over it",
            dotenv(setting),
        )
        .await;
    steps
        .step(
            "bash completes verbs, options, and the services of the file that is meant",
            completed(setting),
        )
        .await;
}

async fn nowhere(setting: &Setting) -> Result<()> {
    let absolute = setting.folder("precious")?;
    let precious = setting.folder("precious/volumes")?.join("data");
    std::fs::write(&precious, "precious")?;
    for name in ["../precious", &absolute.to_string_lossy(), "..", "", "Shop"] {
        let told = exits(2, asked(setting, &["-p", name, "down", "--volumes"])).await?;
        ensure!(told.contains("is no name of a project"), "{name}: {told}");
        let mut down = asked(setting, &["down", "--volumes"]);
        down.env("COMPOSE_PROJECT_NAME", name);
        // Empty is not set: there is no Compose file here.
        exits(if name.is_empty() { 64 } else { 2 }, down).await?;
    }
    // A folder of that name that never was a lab's is none, even where labs are looked for.
    let base = absolute.parent().context("it lies in one")?;
    let base = base.to_string_lossy().into_owned();
    exits(
        0,
        asked(
            setting,
            &["--state-dir", &base, "-p", "precious", "down", "--volumes"],
        ),
    )
    .await?;
    ensure!(std::fs::read(&precious)? == b"precious", "it is gone");
    Ok(())
}

async fn namesakes(setting: &Setting) -> Result<()> {
    let (one, other) = (setting.folder("one/same")?, setting.folder("other/same")?);
    for (folder, service) in [(&one, "one"), (&other, "other")] {
        let file = format!("services: {{ {service}: {SERVICE} }}\n");
        std::fs::write(folder.join("compose.yaml"), file)?;
    }
    let lab = Lab::new(setting, "same", one.join("compose.yaml"))?;
    exits(0, inside(setting, &one, &["up", "-d"])).await?;
    let told = exits(1, inside(setting, &other, &["up", "-d"])).await?;
    ensure!(
        told.contains("one/same/compose.yaml") && told.contains("-p NAME"),
        "{told}"
    );
    ensure!(lab.expect(&["ps", "-q"]).await? == "one-1\n", "made over");
    // Who names it means it.
    exits(0, inside(setting, &other, &["-p", "same", "up", "-d"])).await?;
    ensure!(lab.expect(&["ps", "-q"]).await? == "other-1\n", "as it was");
    lab.expect(&["down"]).await.map(drop)
}

async fn broken(setting: &Setting) -> Result<()> {
    let folder = setting.folder("broken")?;
    let file = folder.join("compose.yaml");
    let text = format!("name: its-own\nservices: {{ idle: {SERVICE} }}\n");
    std::fs::write(&file, &text)?;
    let lab = Lab::new(setting, "its-own", file.clone())?;
    exits(0, inside(setting, &folder, &["up", "-d"])).await?;
    std::fs::write(&file, text.replace("entrypoint", "entrypiont"))?;
    // Nor must anybody's variables, wherever one stands.
    let below = setting.folder("broken/below")?;
    for folder in [&folder, &below] {
        std::fs::write(folder.join(".env"), "WORDS=\"without an end\n")?;
    }
    for folder in [&below, &folder] {
        exits(0, inside(setting, folder, &["ps"])).await?;
    }
    exits(0, inside(setting, &folder, &["down"])).await?;
    lab.refused(1, &["ps"]).await.map(drop)
}

async fn dotenv(setting: &Setting) -> Result<()> {
    let folder = setting.folder("dotenv")?;
    for name in ["one", "other", "third"] {
        let file = format!("services: {{ {name}: {SERVICE} }}\n");
        std::fs::write(folder.join(name).with_extension("yaml"), file)?;
    }
    let variables = "COMPOSE_PROJECT_NAME=so-called\nCOMPOSE_FILE=one.yaml:other.yaml\n";
    std::fs::write(folder.join(".env"), variables)?;
    let services = ["config", "--services"];
    let told = exits(0, inside(setting, &folder, &services)).await?;
    ensure!(told.trim_end().ends_with(": 0\none\nother"), "{told}");
    let told = exits(0, inside(setting, &folder, &["config"])).await?;
    ensure!(told.contains("\nname: so-called\n"), "{told}");
    let mut third = inside(setting, &folder, &services);
    third.env("COMPOSE_FILE", "third.yaml");
    let told = exits(0, third).await?;
    ensure!(told.trim_end().ends_with(": 0\nthird"), "{told}");
    Ok(())
}

/// What bash offers for the last word of each line, by the script's own function.
const COMPLETE: &str = r#"
source <(netns-setup completion bash)
while read -ra COMP_WORDS; do
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    COMP_TYPE=9
    [ "${COMP_WORDS[COMP_CWORD]}" != . ] || COMP_WORDS[COMP_CWORD]=
    _clap_complete_netns_setup netns-setup "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
    (IFS=' '; echo "${COMPREPLY[*]}")
done
"#;

async fn completed(setting: &Setting) -> Result<()> {
    let folder = setting.folder("completed")?;
    for (file, text) in [
        (
            "compose.yaml",
            format!("services: {{ web: {SERVICE}, worker: {SERVICE} }}\n"),
        ),
        ("other.yaml", format!("services: {{ other: {SERVICE} }}\n")),
        ("broken.yaml", "services: [".to_owned()),
    ] {
        std::fs::write(folder.join(file), text)?;
    }
    let expected = [
        ("netns-setup sto", "stop"),
        ("netns-setup logs --no-l", "--no-log-prefix"),
        ("netns-setup config --format s", "swarm"),
        ("netns-setup exec wo", "worker"),
        ("netns-setup stop w", "web worker"),
        ("netns-setup up --scale we", "web="),
        ("netns-setup -f other.yaml logs o", "other"),
        ("netns-setup -f broken.yaml logs o", ""),
        ("netns-setup up --bin-d", "--bin-dir"),
    ];
    let program = setting.netns_setup().get_program().to_owned();
    let program = Path::new(&program).parent().context("its folder")?;
    let path = format!("{}:{}", program.display(), std::env::var("PATH")?);
    let mut bash = Command::new("bash");
    let lines: String = expected
        .iter()
        .map(|(line, _)| format!("{line}\n"))
        .collect();
    let script = format!("{COMPLETE}\n");
    std::fs::write(folder.join("lines"), lines)?;
    let lines = std::fs::File::open(folder.join("lines"))?;
    bash.args(["--norc", "--noprofile", "-c", &script])
        .stdin(lines);
    bash.env("PATH", path).current_dir(&folder);
    let told = exits(0, bash).await?;
    let offered: Vec<&str> = told.lines().skip(1).collect();
    ensure!(offered == expected.map(|(_, offered)| offered), "{told}");
    Ok(())
}

fn asked(setting: &Setting, arguments: &[&str]) -> Command {
    let mut command = setting.netns_setup();
    command.args(arguments);
    command
}

fn inside(setting: &Setting, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = asked(setting, arguments);
    command.current_dir(folder);
    command
}

/// Runs it: what it said.
async fn exits(code: i32, command: Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = tokio::process::Command::from(command).output().await?;
    let told = said(&output);
    ensure!(
        output.status.code() == Some(code),
        "{shown}: {:?}, {told}",
        output.status
    );
    Ok(told)
}
