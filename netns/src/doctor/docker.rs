//! Docker: whether the Compose and Swarm ways are open too. The lab needs none of it.

use serde_json::Value;

use super::asked::{Answer, version};
use super::check::{Check, Group};

const GROUP: Group = Group::Docker;

/// The oldest engine, Compose and buildx that the project's files are written for.
const OLDEST_ENGINE: (u32, u32) = (20, 10);
const OLDEST_COMPOSE: (u32, u32) = (2, 20);

/// What was answered.
#[derive(Clone, Debug)]
pub struct Docker {
    /// `docker version --format '{{json .}}'`.
    pub engine: Answer,
    /// `docker compose version --short`.
    pub compose: Answer,
    /// `docker buildx version`.
    pub buildx: Answer,
}

pub(super) fn checks(docker: &Docker) -> Vec<Check> {
    if docker.engine == Answer::Absent {
        return vec![Check::note(GROUP, "Docker", "not installed").remedy(
            "for the Compose way, on Debian as root: sh docker/engine.sh; elsewhere: https://docs.docker.com/engine/install/",
        )];
    }
    vec![
        engine(&docker.engine),
        plugin("Compose", &docker.compose, OLDEST_COMPOSE),
        plugin("buildx", &docker.buildx, (0, 10)),
    ]
}

fn engine(answer: &Answer) -> Check {
    const NAME: &str = "Docker Engine";
    let Answer::Said { out, err, .. } = answer else {
        return Check::unknown(GROUP, NAME, "it does not answer in time")
            .remedy("look at it: docker info");
    };
    let told: Value =
        serde_json::from_str(out.lines().next().unwrap_or_default()).unwrap_or_default();
    if let Some(server) = told["Server"]["Version"].as_str() {
        return match version(server) {
            Some(found) if found >= OLDEST_ENGINE => {
                Check::ok(GROUP, NAME, format!("version {server} answers"))
            }
            Some(_) => Check::note(
                GROUP,
                NAME,
                format!(
                    "version {server}, older than {}.{}",
                    OLDEST_ENGINE.0, OLDEST_ENGINE.1
                ),
            )
            .remedy("install a newer one"),
            None => Check::unknown(GROUP, NAME, format!("version {server:?}")),
        };
    }
    let said = err.lines().next().unwrap_or("docker version says nothing");
    if said.contains("permission denied") {
        Check::note(GROUP, NAME, "not permitted: its socket is not open to you").remedy(
            "as root: usermod -aG docker YOU (which makes you as good as root), then log in again",
        )
    } else if said.contains("Cannot connect") || said.contains("failed to connect") {
        Check::note(GROUP, NAME, "the daemon does not run")
            .remedy("as root: systemctl start docker; without systemd: sh docker/engine.sh")
    } else {
        Check::unknown(GROUP, NAME, said).remedy("look at it: docker info")
    }
}

fn plugin(name: &str, answer: &Answer, oldest: (u32, u32)) -> Check {
    match (answer.line(), answer) {
        (Some(line), _) => match version(line) {
            Some(found) if found >= oldest => Check::ok(GROUP, name, format!("version {}.{}", found.0, found.1)),
            Some(found) => Check::note(GROUP, name, format!("version {}.{}, older than {}.{}", found.0, found.1, oldest.0, oldest.1))
                .remedy("install a newer one"),
            None => Check::unknown(GROUP, name, format!("version {line:?}")),
        },
        (None, Answer::Silent) => Check::unknown(GROUP, name, "it does not answer in time"),
        (None, _) => Check::note(GROUP, name, "not installed as a plugin of docker")
            .remedy("install docker-compose-plugin and docker-buildx-plugin, or Debian's docker-compose and docker-buildx"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    fn said(well: bool, out: &str, err: &str) -> Answer {
        Answer::Said {
            well,
            out: out.into(),
            err: err.into(),
        }
    }

    fn judged(engine: Answer, compose: Answer) -> Vec<(State, String)> {
        let docker = Docker {
            engine,
            compose,
            buildx: said(true, "github.com/docker/buildx 0.13.1 0.13.1+ds1-3", ""),
        };
        checks(&docker)
            .into_iter()
            .map(|check| (check.state, check.found))
            .collect()
    }

    #[test]
    fn the_preflight_of_the_compose_way_wants_the_same_versions() {
        let script = include_str!("../../../docker/preflight.sh");
        let (engine, compose) = (OLDEST_ENGINE, OLDEST_COMPOSE);
        for wanted in [
            format!("reaches \"$engine\" {}.{} ", engine.0, engine.1),
            // But where a file needs what is younger.
            format!(" *) wanted={}.{} ;;", compose.0, compose.1),
            "reaches \"${compose#v}\" \"$wanted\"".to_owned(),
        ] {
            assert!(
                script.contains(&wanted),
                "docker/preflight.sh lacks {wanted:?}"
            );
        }
    }

    #[test]
    fn each_way_of_not_answering_is_told_apart() {
        let compose = || said(true, "2.26.1-4", "");
        assert_eq!(
            judged(Answer::Absent, compose()),
            [(State::Note, "not installed".into())]
        );
        let up = said(
            true,
            r#"{"Client":{"Version":"28.2.2"},"Server":{"Version":"20.10.24+dfsg1"}}"#,
            "",
        );
        assert_eq!(
            judged(up.clone(), compose()),
            [
                (State::Ok, "version 20.10.24+dfsg1 answers".into()),
                (State::Ok, "version 2.26".into()),
                (State::Ok, "version 0.13".into()),
            ]
        );
        assert_eq!(judged(up, said(true, "1.29.2", ""))[1].0, State::Note);
        let old = said(true, r#"{"Server":{"Version":"19.03.8"}}"#, "");
        assert_eq!(
            judged(old, compose())[0],
            (State::Note, "version 19.03.8, older than 20.10".into())
        );
        let client = r#"{"Client":{"Version":"28.2.2"},"Server":null}"#;
        for (err, state, found) in [
            (
                "Got permission denied while trying to connect to the Docker daemon socket",
                State::Note,
                "not permitted: its socket is not open to you",
            ),
            (
                "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
                State::Note,
                "the daemon does not run",
            ),
            (
                "context deadline exceeded",
                State::Unknown,
                "context deadline exceeded",
            ),
        ] {
            assert_eq!(
                judged(said(false, client, err), said(false, "", ""))[0],
                (state, found.into())
            );
        }
        assert_eq!(judged(Answer::Silent, compose())[0].0, State::Unknown);
    }
}
