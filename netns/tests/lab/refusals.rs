//! Compose files that are wrong: refused by line and key before anything is touched.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::setting::{Lab, Setting, said};
use crate::steps::Steps;

/// An edit of the shop's file that makes it wrong: what is replaced, by what, and what the refusal has to say.
struct Wrong {
    name: &'static str,
    replaced: &'static str,
    by: &'static str,
    /// Text of the line that is to be pointed at, the last one that has it.
    line: &'static str,
    says: &'static str,
}

const WRONG: [Wrong; 8] = [
    Wrong {
        name: "an unknown key",
        replaced: "  redis:\n    <<: *hardened\n",
        by: "  redis:\n    <<: *hardened\n    privilged: true\n",
        line: "privilged: true",
        says: "privilged",
    },
    Wrong {
        name: "a flow that names an unknown service",
        replaced: "  - world -> api-gateway:3000\n",
        by: "  - world -> api-gateway:3000\n  - api-gateway -> payment-service:5000\n",
        line: "payment-service:5000",
        says: "payment-service",
    },
    Wrong {
        name: "overlapping subnets",
        replaced: "${BACKEND_PREFIX:-172.21.0}",
        by: "${FRONTEND_PREFIX:-172.20.0}",
        line: "- subnet: \"${FRONTEND_PREFIX:-172.20.0}.0/24\"",
        says: "overlaps",
    },
    Wrong {
        name: "a cycle in depends_on",
        replaced: "  service-registry:\n    <<: *hardened\n",
        by: "  cyclic:\n    image: redis\n    depends_on: [cyclic]\n  service-registry:\n    <<: *hardened\n",
        line: "depends_on: [cyclic]",
        says: "cyc",
    },
    Wrong {
        name: "a host port that is published twice",
        replaced: "      - \"${GATEWAY_PORT:-3000}:3000\"",
        by: "      - \"${HTTP_PORT:-8080}:3000\"  # again",
        line: "# again",
        says: "published twice",
    },
    Wrong {
        name: "a dependency that is no service",
        replaced: "      redis: { condition: service_healthy }\n",
        by: "      reddis: { condition: service_healthy }\n",
        line: "reddis: {",
        says: "reddis",
    },
    Wrong {
        name: "a variable that has to be set",
        replaced: "      LOG_FORMAT: ${LOG_FORMAT:-json}\n",
        by: "      LOG_FORMAT: ${CONFORMANCE_UNSET:?say which}\n",
        line: "CONFORMANCE_UNSET",
        says: "say which",
    },
    Wrong {
        name: "broken YAML",
        replaced: "services:\n",
        by: "services: [\n",
        line: "",
        says: "",
    },
];

pub(crate) async fn tell(steps: &mut Steps, setting: &Setting) {
    for wrong in WRONG {
        let name = format!("{} is refused by line, nothing is touched", wrong.name);
        steps.step(&name, refused(setting, &wrong)).await;
    }
    steps
        .step(
            "a good file is accepted and printed as understood",
            accepted(setting),
        )
        .await;
    steps
        .step(
            "profiles are turned on by --profile and by COMPOSE_PROFILES, both at once",
            profiles(setting),
        )
        .await;
    steps
        .step(
            "the file is read from standard input as `-`, variables from COMPOSE_ENV_FILES",
            async { given(setting) },
        )
        .await;
}

/// As `docker compose -f -` and its variable.
fn given(setting: &Setting) -> Result<()> {
    let folder = setting.folder("given")?;
    std::fs::write(folder.join("first.env"), "WORD=one\nOTHER=two\n")?;
    std::fs::write(folder.join("second.env"), "OTHER=three\n")?;
    let file = folder.join("text");
    std::fs::write(&file, "services: { a: { entrypoint: [$WORD, $OTHER] } }\n")?;
    let config = |arguments: &[&str]| -> Result<String> {
        let mut command = setting.netns_setup();
        command.args(["-f", "-"]).args(arguments).arg("config");
        command.env("COMPOSE_ENV_FILES", "first.env,second.env");
        let input = std::fs::File::open(&file)?;
        let output = command.current_dir(&folder).stdin(input).output()?;
        ensure!(output.status.success(), "{arguments:?}: {}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    };
    let text = config(&[])?;
    ensure!(
        text.contains("name: given\n") && text.contains("- one\n      - three\n"),
        "{text}"
    );
    let text = config(&["--env-file", "first.env"])?;
    ensure!(text.contains("- one\n      - two\n"), "{text}");
    Ok(())
}

/// The shop's file with one edit, in a folder of its own beside what the file refers to.
fn edited(setting: &Setting, wrong: &Wrong) -> Result<(PathBuf, String)> {
    let text = std::fs::read_to_string(setting.compose_file())?;
    ensure!(
        text.contains(wrong.replaced),
        "the Compose file has no {:?} any more",
        wrong.replaced
    );
    let text = text.replace(wrong.replaced, wrong.by);
    let folder = setting.folder(&format!("wrong/{}", wrong.name.replace(' ', "-")))?;
    let beside = setting.compose_file().with_file_name("docker");
    std::os::unix::fs::symlink(beside, folder.join("docker"))?;
    let file = folder.join("docker-compose.yml");
    std::fs::write(&file, &text)?;
    Ok((file, text))
}

async fn refused(setting: &Setting, wrong: &Wrong) -> Result<()> {
    let (file, text) = edited(setting, wrong)?;
    let lab = Lab::new(setting, "refused", file)?;
    for arguments in [["config", "--quiet"], ["up", "-d"]] {
        let said = lab.refused(64, &arguments).await?;
        ensure!(
            said.contains(wrong.says),
            "does not say {:?}: {said}",
            wrong.says
        );
        let line = if wrong.line.is_empty() {
            "docker-compose.yml:".to_owned()
        } else {
            let pointed = text
                .lines()
                .zip(1..)
                .filter(|(line, _)| line.contains(wrong.line));
            let (_, number) = pointed.last().context("the edited line")?;
            format!("docker-compose.yml:{number}:")
        };
        ensure!(said.contains(&line), "does not point at {line} {said}");
    }
    ensure!(!lab.state().exists(), "{} was made", lab.state().display());
    Ok(())
}

async fn accepted(setting: &Setting) -> Result<()> {
    let lab = Lab::new(setting, "refused", setting.compose_file())?;
    let config: serde_json::Value =
        serde_json::from_str(&lab.expect(&["config", "--json"]).await?)?;
    let services = config["services"].as_object().context("services")?;
    ensure!(services.len() == 7, "{:?}", services.keys());
    let names = lab.expect(&["config", "--services"]).await?;
    ensure!(names.lines().eq(services.keys()), "{names}");
    let written = setting.folder("written")?.join("swarm.yml");
    let to = written.to_string_lossy();
    let silent = lab
        .expect(&["config", "--format", "swarm", "--output", &to])
        .await?;
    let swarm = std::fs::read_to_string(&written)?;
    ensure!(
        silent.is_empty() && swarm.contains("\nversion: \"3.9\"\n"),
        "{silent}{swarm}"
    );
    ensure!(!lab.state().exists(), "{} was made", lab.state().display());
    Ok(())
}

/// Services of two profiles, and one of none.
const PROFILES: &str = r#"
services:
  always: { command: sleep 1 }
  debugging: { command: sleep 1, profiles: [debug] }
  tracing: { command: sleep 1, profiles: [trace, more] }
"#;

async fn profiles(setting: &Setting) -> Result<()> {
    let file = setting.folder("profiles")?.join("compose.yaml");
    std::fs::write(&file, PROFILES)?;
    let lab = Lab::new(setting, "profiles", file)?;
    for (flags, variable, on) in [
        (&[][..], "", "always"),
        (&["--profile", "debug"], "", "always debugging"),
        (&[], "more", "always tracing"),
        (&["--profile", "debug"], "trace", "always debugging tracing"),
        (&["--profile", "*"], "", "always debugging tracing"),
        (
            &["--profile", "debug", "--profile", "trace"],
            "",
            "always debugging tracing",
        ),
    ] {
        let mut command = lab.command(&[flags, &["config", "--services"]].concat());
        command.env("COMPOSE_PROFILES", variable);
        let output = tokio::process::Command::from(command).output().await?;
        let listed = String::from_utf8_lossy(&output.stdout);
        ensure!(
            listed.split_whitespace().eq(on.split(' ')),
            "{flags:?}, COMPOSE_PROFILES={variable}: {}",
            said(&output)
        );
    }
    Ok(())
}
